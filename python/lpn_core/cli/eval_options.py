"""What `lpn eval` and `lpn-train eval` check alike before they evaluate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from lpn_core.cli.outputs import check_folder
from lpn_core.evaluation import CocoPeople, MpiiPeople, published_bias
from lpn_core.keypoints import MPII16, KeypointSet


def suppression(*, official: bool, no_nms: bool) -> bool | None:
    """Whether OKS-NMS is asked for; None for the custom.

    Raises:
        click.UsageError: both options were given.
    """
    if official and no_nms:
        raise click.UsageError("--official asks for the OKS-NMS that --no-nms forbids; choose one")
    return False if no_nms else (True if official else None)


def describe(
    people: CocoPeople | MpiiPeople,
    *,
    name: str,
    annotations: Path,
    detections: Path | None,
    flip: bool,
) -> dict[str, Any]:
    """The head of an evaluation's report, as JSON takes it.

    Args:
        people: who was looked for.
        name: of the model.
        annotations: file of the people.
        detections: file of their boxes; None for true ones.
        flip: whether mirrored crops were averaged in.
    """
    return {
        "model": name,
        "annotations": str(annotations),
        "detections": None if detections is None else str(detections),
        "images": len(people),
        "people": sum(len(image.boxes) for image in people.images),
        "flip": flip,
        **({"bias": people.bias} if isinstance(people, MpiiPeople) else {}),
    }


def summary(found: Mapping[str, Any]) -> str:
    """What :func:`describe` says, in one line."""
    boxes = "ground-truth boxes" if found["detections"] is None else "detections"
    bias = f", bias {found['bias']:g} px" if "bias" in found else ""
    return (
        f"{found['model']}: {found['people']} people (boxes: {boxes}) in {found['images']} images"
        f"{', flip test' if found['flip'] else ''}{bias}"
    )


def chosen_bias(
    bias: float | None, keypoint_set: KeypointSet, architecture: str | None
) -> float | None:
    """The bias that was given; without one that of the published figures, on MPII."""
    if bias is None and keypoint_set.name == MPII16.name:
        return published_bias(architecture)
    return bias


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
