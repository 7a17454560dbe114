"""What `lpn eval` and `lpn-train eval` check alike before they evaluate."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from lpn_core.cli.outputs import check_folder
from lpn_core.evaluation import CocoPeople


def suppression(*, official: bool, no_nms: bool) -> bool | None:
    """Whether OKS-NMS is asked for; None for the custom.

    Raises:
        click.UsageError: both options were given.
    """
    if official and no_nms:
        raise click.UsageError("--official asks for the OKS-NMS that --no-nms forbids; choose one")
    return False if no_nms else (True if official else None)


def check_results_folder(results: Path | None) -> None:
    """Checks, where there are results to write, that they can be.

    Raises:
        click.BadParameter: they cannot.
    """
    if results is not None:
        check_folder(results.parent, "--results")


def check_results(results: Path | None, people: object, decodes: Collection[str]) -> None:
    """Checks, where there are results to write, that they are one COCO file's.

    Raises:
        click.UsageError: they are not COCO's, or of several decodes.
    """
    if results is None:
        return
    if not isinstance(people, CocoPeople):
        raise click.UsageError("--results is in COCO's form, the model has MPII's joints")
    if len(decodes) != 1:
        raise click.UsageError(
            f"--results holds the poses of one decode, but there are {len(decodes)} "
            f"({', '.join(decodes)}); name one with --decode"
        )
