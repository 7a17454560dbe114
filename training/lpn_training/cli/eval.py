"""``lpn-train eval``: how good a checkpoint is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click
from tqdm import tqdm

from lpn_training.cli.paths import EXISTING

Item = TypeVar("Item")

# lpn_core.evaluation.DECODES without its import: `lpn-train fit` does not need lpn_core.
KINDS = ("argmax", "argmax-quarter", "beta", "beta-quarter")


def _parse_betas(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}; wanted numbers, such as 40,160") from None


@click.command("eval")
@click.argument("checkpoint", type=EXISTING)
@click.option("--annotations", type=EXISTING, required=True, help="COCO's or MPII's JSON file.")
@click.option("--images", type=EXISTING, required=True, help="Folder of the images or the set.")
@click.option("--detections", type=EXISTING, help="COCO detections instead of true boxes.")
@click.option("--head-boxes", type=EXISTING, help="MPII's gt_valid.mat.")
@click.option("--engine", type=click.Choice(["torch", "core"]), default="torch", show_default=True,
              help="PyTorch, or the C++ engine of lpn_core.")  # fmt: skip
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--decode", "kinds", multiple=True, type=click.Choice(KINDS),
              help="Which decodes (default: all).")  # fmt: skip
@click.option("--beta", "betas", callback=_parse_betas, metavar="B,...", default="160",
              show_default=True,
              help="Of the beta decodes; several are the paper's ablation.")  # fmt: skip
@click.option("--official", is_flag=True, help="Clip boxes and apply OKS-NMS as the LPN code does.")
@click.option("--limit", default=0, help="Only so many images (0: all).")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Of PyTorch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    checkpoint: Path,
    annotations: Path,
    images: Path,
    detections: Path | None,
    head_boxes: Path | None,
    engine: str,
    flip: bool,
    kinds: tuple[str, ...],
    betas: tuple[float, ...],
    official: bool,
    limit: int,
    batch: int,
    device: str,
    as_json: bool,
) -> None:
    """COCO keypoint AP, or PCKh for a model with MPII's joints.

    CHECKPOINT may also be a model file (.safetensors, with --engine core) or an .onnx teacher.
    """
    from lpn_core import evaluation
    from lpn_core.cli.tables import table

    from lpn_training.evaluate import open_candidate

    try:
        decodes = evaluation.decodes_of(kinds or KINDS, betas=betas)
        candidate = open_candidate(checkpoint, engine=engine, device=device)
        people = evaluation.open_people(
            candidate.keypoints,
            annotations,
            images,
            detections=detections,
            head_boxes=head_boxes,
            limit=limit,
            clip=official,
        )
    except (ValueError, OSError, ImportError) as error:
        raise click.UsageError(str(error)) from None
    try:
        found = evaluation.evaluate(
            people,
            candidate.network,
            candidate.spec,
            decodes=decodes,
            flip=flip,
            nms=True if official else None,
            batch=batch,
            progress=_bar,
        )
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(found, allow_nan=False) if as_json else table(found, "decode"))


def _bar(images: Sequence[Item]) -> Iterable[Item]:
    bar: Iterable[Item] = tqdm(
        images, desc="evaluate", unit="image", file=sys.stderr, disable=None, leave=False
    )
    return bar
