"""``lpn-train plot``: loss, learning rate and AP of runs as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FILE, EXISTING_FOLDER


@click.command()
@click.argument("runs", type=EXISTING_FOLDER, nargs=-1, required=True)
@click.option("-o", "--output", type=ANY_FILE, required=True, help="Picture: .png, .svg or .pdf.")
def plot(runs: tuple[Path, ...], output: Path) -> None:
    """Draw loss, learning rate and AP over the stages.

    RUNS are folders that fit wrote.
    """
    from lpn_training.plot import plot_runs
    from lpn_training.runlog import read_log

    with report_errors(output):
        plot_runs({str(run): read_log(run) for run in runs}, output)
    click.echo(f"wrote {output}")
