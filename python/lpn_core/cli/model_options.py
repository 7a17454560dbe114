"""What `lpn convert` and `lpn-train export` check alike before they write a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lpn_core.model.spec import DecodeSpec

if TYPE_CHECKING:
    from lpn_core._types import DecodeKind


def refuse_overwriting(output: Path, checkpoint: Path) -> None:
    """Checks that the model file is not to be written over its checkpoint.

    Raises:
        click.BadParameter: it is.
    """
    if output.exists() and output.samefile(checkpoint):
        raise click.BadParameter(
            f"{output} is the checkpoint itself, which would be lost; wanted another file",
            param_hint="--output",
        )


def decode_spec(
    kind: DecodeKind, beta: float | None, *, quarter_step: bool, flip_shift: int
) -> DecodeSpec:
    """The decode that the options describe; without ``beta``, soft_argmax has the published one.

    Raises:
        click.UsageError: a beta for argmax, or a value that is none.
    """
    if kind == "argmax" and beta is not None:
        raise click.UsageError(
            "--beta is for --decode soft_argmax, but --decode is argmax; leave one of them out"
        )
    if kind == "soft_argmax" and beta is None:
        beta = DecodeSpec().beta
    try:
        return DecodeSpec(kind=kind, beta=beta, quarter_step=quarter_step, flip_shift=flip_shift)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
