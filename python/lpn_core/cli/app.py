"""The click group and its verbs."""

from __future__ import annotations

import logging

import click
import PIL  # noqa: F401  (predict needs it; the entry point says how to install what is missing)
import tqdm  # noqa: F401  (likewise)

from lpn_core import __version__
from lpn_core.cli.bench import bench
from lpn_core.cli.convert import convert
from lpn_core.cli.evaluate import evaluate
from lpn_core.cli.info import info
from lpn_core.cli.predict import predict
from lpn_core.cli.profile import profile
from lpn_core.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lpn")
@click.option("-v", "--verbose", is_flag=True, help="Log what the library does to stderr.")
def lpn(verbose: bool) -> None:
    """Human pose estimation on the CPU."""
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


for _verb in (predict, convert, evaluate, info, verify, profile, bench):
    lpn.add_command(_verb)
