"""The ``lpn-train`` command: one file per verb."""

from __future__ import annotations

import logging

import click

from lpn_training.cli.compare import compare
from lpn_training.cli.eval import evaluate
from lpn_training.cli.export import export
from lpn_training.cli.fit import fit
from lpn_training.cli.look import look
from lpn_training.cli.pack import pack
from lpn_training.cli.plot import plot
from lpn_training.cli.stages import stages


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what is going on.")
def main(verbose: bool) -> None:
    """Train, evaluate and export pose networks for lpn_core."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(name)s: %(message)s")


for _command in (pack, look, fit, evaluate, export, plot, stages, compare):
    main.add_command(_command)
