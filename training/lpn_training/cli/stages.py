"""``lpn-train stages``: the stage table of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import EXISTING_FOLDER


@click.command()
@click.argument("run", type=EXISTING_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stages(run: Path, as_json: bool) -> None:
    """Print what each finished stage of a run reached.

    RUN is a folder that fit wrote.
    """
    from lpn_training.tables import read_stages, stage_table

    with report_errors():
        records = read_stages(run)
    click.echo(json.dumps(records) if as_json else stage_table(records))
