"""``lpn-train look``: sheets of what training sees, and of what a network answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FOLDER, EXISTING_FILE

VIEWS, PREDICTIONS = "views.png", "predictions.png"


@click.command()
@click.argument("config", type=EXISTING_FILE)
@click.option("-o", "--output", type=ANY_FOLDER, default=Path("look"), show_default=True,
              help=f"Folder for {VIEWS} and {PREDICTIONS}.")  # fmt: skip
@click.option("--weights", metavar="CHECKPOINT|MODEL",
              help="Draw what these answer about the people held out, or of the validation shards: "
              "a checkpoint, a model file, or a bundled model's name.")  # fmt: skip
@click.option("--count", type=click.IntRange(1), default=48, show_default=True,
              help="Crops on a sheet.")  # fmt: skip
@click.option("--flip", is_flag=True, help="Average with the mirrored crop.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
              help="Override a configuration value (TOML syntax).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def look(
    config: Path,
    output: Path,
    weights: str | None,
    count: int,
    flip: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw the first crops of a training as it sees them, and predictions, worst first.

    On views.png skeletons are the joints that have a target, below each how many do, and rings
    what the teacher adds. On predictions.png skeletons are predicted, and rings are the labels.
    """
    from lpn_training import look as sheets
    from lpn_training.config import load_config

    document: dict[str, Any] = {}
    with report_errors(output):
        batches = sheets.open_batches(load_config(config, overrides))
        network = people = None
        if weights is not None:
            people = sheets.people_to_predict(batches)
            network = sheets.open_network(weights)
            sheets.check_joints(network, people)
        output.mkdir(parents=True, exist_ok=True)
        seen = sheets.draw_views(batches, output / VIEWS, count)
        document["views"] = {"sheet": str(output / VIEWS), "crops": [asdict(s) for s in seen]}
        if network is not None and people is not None:
            sheet = output / PREDICTIONS
            found = sheets.draw_predictions(network, people, sheet, count, flip=flip)
            listed = [asdict(prediction) for prediction in found]
            document["predictions"] = {"sheet": str(sheet), "crops": listed}
    if as_json:
        click.echo(json.dumps(document))
        return
    for crop in document.get("predictions", {}).get("crops", []):
        click.echo(f"{crop['oks']:.4f}  {crop['picture']}")
    for part in document.values():
        click.echo(f"wrote {part['sheet']}", err=True)
