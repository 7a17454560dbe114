"""``lpn-train compare``: checkpoints against each other on the same persons."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FILE, EXISTING, EXISTING_FILE


@click.command()
@click.argument("base", type=EXISTING_FILE)
@click.argument("others", type=EXISTING_FILE, nargs=-1, required=True)
@click.option("--shards", multiple=True, type=EXISTING,
              help="Packed validation crops (default: those BASE was validated on).")  # fmt: skip
@click.option("--flip", is_flag=True, help="Average with the mirrored crop.")
@click.option("--bootstrap", default=2000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=ANY_FILE, help="Picture to write as well: .png, .svg or .pdf.")
def compare(
    base: Path,
    others: tuple[Path, ...],
    shards: tuple[Path, ...],
    flip: bool,
    bootstrap: int,
    seed: int,
    device: str,
    as_json: bool,
    plot: Path | None,
) -> None:
    """AP and mean OKS of checkpoints beside another one's, with 95% intervals.

    BASE is the one that OTHERS are compared with. The intervals are of a paired bootstrap over
    persons: each resample of them is the same for all checkpoints.
    """
    from lpn_core.cli.outputs import check_folder

    from lpn_training import compare as comparing
    from lpn_training.checkpoint import load_checkpoint
    from lpn_training.config import stored_config
    from lpn_training.devices import open_device
    from lpn_training.plot import plot_comparison
    from lpn_training.tables import comparison_table

    if plot is not None:
        check_folder(plot.parent, "--plot")
    with report_errors(plot):
        names = tuple(str(path) for path in shards)
        names = names or stored_config(load_checkpoint(base)).data.validation_shards
        if not names:
            raise click.UsageError(f"{base} was trained without validation shards: give --shards")
        place = open_device(device)
        found = {
            str(path): comparing.score_checkpoint(path, names, flip=flip, device=place)
            for path in (base, *others)
        }
        rows = comparing.compare(found, bootstrap, seed)
        if plot is not None:
            plot_comparison(rows, plot)
    click.echo(json.dumps([asdict(row) for row in rows]) if as_json else comparison_table(rows))
