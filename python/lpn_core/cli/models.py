"""Loading the model that a command names, on the instruction set that it asks for."""

from __future__ import annotations

import logging

import click

from lpn_core._core import default_threads, supported_isas
from lpn_core.estimator import bundled_models, load_model
from lpn_core.model.model import PRECISIONS, Model

_logger = logging.getLogger(__name__)

isa_option = click.option(
    "--isa",
    type=click.Choice(supported_isas()),
    help="Instruction set.  [default: the best one, or LPN_ISA]",
)

precision_option = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of maps and matrix products. int8 takes a model with scales, which lpn quantize finds; "
    "auto: bf16 where this CPU multiplies bfloat16, else fp32.",
)


def open_model(
    name: str,
    *,
    threads: int | None = None,
    isa: str | None = None,
    precision: str = "fp32",
) -> Model:
    """Loads a bundled model or a model file.

    Raises:
        click.UsageError: there is none, it cannot be read, or it does not fit into memory.
    """
    try:
        opened = load_model(name, threads=threads, isa=isa, precision=precision)
        opened.steps()  # plans, or says that there is not enough memory
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    source = "a bundled one" if name in bundled_models() else f"from {name}"
    _logger.info(
        "model %s, %s; %s; threads: %d; instruction set: %s",
        opened.name,
        source,
        opened.precision,
        opened.threads,
        opened.isa,
    )
    return opened


def available_threads() -> int:
    """As many as this process may use.

    Raises:
        click.UsageError: LPN_NUM_THREADS is no number of threads.
    """
    try:
        return default_threads()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
