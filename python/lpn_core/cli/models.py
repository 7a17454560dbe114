"""Loading the model that a command names, on the instruction set that it asks for."""

from __future__ import annotations

import click

from lpn_core import supported_isas
from lpn_core.estimator import read_model
from lpn_core.model import Model

isa_option = click.option(
    "--isa",
    type=click.Choice(supported_isas()),
    help="Instruction set.  [default: the best one, or LPN_ISA]",
)


def open_model(name: str, *, threads: int | None = None, isa: str | None = None) -> Model:
    """Loads a bundled model or a model file.

    Raises:
        click.UsageError: there is none, or it cannot be read.
    """
    try:
        return Model(read_model(name), threads=threads, isa=isa)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
