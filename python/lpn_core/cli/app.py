"""The click group and its verbs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

import click
import PIL  # noqa: F401  (predict needs it; the entry point says how to install what is missing)
import tqdm  # noqa: F401  (likewise)

from lpn_core._core import __version__
from lpn_core.cli.bench import bench
from lpn_core.cli.convert import convert
from lpn_core.cli.evaluate import evaluate
from lpn_core.cli.info import info
from lpn_core.cli.messages import messages
from lpn_core.cli.predict import predict
from lpn_core.cli.profile import profile
from lpn_core.cli.quantize import quantize
from lpn_core.cli.verify import verify


class _Commands(click.Group):
    """The verbs, and the ends that any of them may come to."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a verb; Ctrl-C has the exit code that shells give it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("lpn: stopped", err=True)
            ctx.exit(128 + signal.SIGINT)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command; click itself is silent where a pipe was closed early."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # Errors of files say which; the verbs report them.
            if error.filename is not None:
                raise
            _drop_stdout()
            click.echo(f"lpn: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)


def _drop_stdout() -> None:
    # What is left in its buffer would fail once more when the interpreter ends.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lpn")
@click.option("-v", "--verbose", is_flag=True, help="Log what the library does to stderr.")
@click.pass_context
def lpn(context: click.Context, verbose: bool) -> None:
    """Human pose estimation on the CPU."""
    context.with_resource(messages(verbose))


for _verb in (predict, convert, quantize, evaluate, info, verify, profile, bench):
    lpn.add_command(_verb)
