"""Loading the model that a command names."""

from __future__ import annotations

import click

from lpn_core.estimator import read_model
from lpn_core.model import Model


def open_model(name: str, *, threads: int | None = None, isa: str | None = None) -> Model:
    """Loads a bundled model or a model file.

    Raises:
        click.UsageError: there is none, or it cannot be read.
    """
    try:
        return Model(read_model(name), threads=threads, isa=isa)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
