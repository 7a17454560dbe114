"""lpn verify: whether a model computes on this machine what its maker saw."""

from __future__ import annotations

import sys

import click

from lpn_core.cli.models import open_model
from lpn_core.convert import SELF_TEST_TOLERANCE, self_test_error


@click.command()
@click.argument("model")
def verify(model: str) -> None:
    """Run the self-test of MODEL, a bundled name or a model file.

    Exit status: 0 passed, 1 failed, 2 not a readable model.
    """
    with open_model(model) as opened:
        error = self_test_error(opened)
        # Not `error > tolerance`: a NaN must fail.
        passed = error <= SELF_TEST_TOLERANCE
        click.echo(
            f"{opened.name}: self-test {'passed' if passed else 'FAILED'}: joints within "
            f"{error:.2g} px (limit {SELF_TEST_TOLERANCE}) on {opened.isa}"
        )
    if not passed:
        sys.exit(1)
