"""lpn profile: where a model's time goes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lpn_core._files import write_atomically
from lpn_core.cli.models import isa_option, open_model, precision_option
from lpn_core.cli.outputs import check_folder
from lpn_core.model.profile import GROUPS, SORTS


@click.command()
@click.argument("model")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Default: all that this process may use."
)
@isa_option
@precision_option
@click.option(
    "--rounds",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Recorded runs, and as many without recording.",
)
@click.option(
    "--by",
    type=click.Choice(GROUPS),
    default="step",
    show_default=True,
    help="What a line of the table is.",
)
@click.option(
    "--sort", type=click.Choice(SORTS), default="order", show_default=True, help="Of the lines."
)
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write every recorded run for chrome://tracing or ui.perfetto.dev.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def profile(
    model: str,
    threads: int | None,
    isa: str | None,
    precision: str,
    rounds: int,
    by: str,
    sort: str,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL, a bundled name or a model file, step by step on one crop.

    For each step: the kernel and its instruction set, time, speed, its share of the peak that so
    many threads reach with that instruction set and precision in the same minute, the least memory
    traffic (inputs, weights and outputs once each) and its rate. Below it the whole run as it is
    without recording, and the floor: the time of its operations alone at the peak. Other work on
    the machine shows in the figures.
    """
    if trace is not None:
        check_folder(trace.parent, "--trace")
    with open_model(model, threads=threads, isa=isa, precision=precision) as opened:
        result = opened.profile(rounds)
    if trace is not None:
        text = json.dumps(result.chrome_trace(), allow_nan=False)
        try:
            write_atomically(trace, [text.encode(), b"\n"])
        except OSError as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False))
    else:
        click.echo(result.table(sort=sort, by=by))
