"""``lpn-train eval``: how good a checkpoint is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click
from tqdm import tqdm

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FILE, EXISTING_FILE, EXISTING_FOLDER

Item = TypeVar("Item")

# lpn_core.evaluation.DECODES without its import, which no other verb's help waits for.
KINDS = ("argmax", "argmax-quarter", "beta", "beta-quarter")


def _parse_betas(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}; wanted numbers, such as 40,160") from None


@click.command("eval")
@click.argument("checkpoint", type=EXISTING_FILE)
@click.option("--annotations", type=EXISTING_FILE, required=True,
              help="COCO's or MPII's JSON file.")  # fmt: skip
@click.option("--images", type=EXISTING_FOLDER, required=True,
              help="Folder of the images or the set.")  # fmt: skip
@click.option("--detections", type=EXISTING_FILE, help="COCO detections instead of true boxes.")
@click.option("--head-boxes", type=EXISTING_FILE, help="MPII's gt_valid.mat.")
@click.option("--bias", type=float,
              help="MPII: pixels taken from every prediction.  [default: as published, 1 for LPN, "
              "else 0]")  # fmt: skip
@click.option("--engine", type=click.Choice(["torch", "core"]), default="torch", show_default=True,
              help="PyTorch, or the C++ engine of lpn_core.")  # fmt: skip
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--flip-shift", type=click.IntRange(min=0),
              help="Heatmap pixels.  [default: the model file's, else 1]")  # fmt: skip
@click.option("--decode", "kinds", multiple=True, type=click.Choice(KINDS),
              help="Which decodes (default: all).")  # fmt: skip
@click.option("--beta", "betas", callback=_parse_betas, metavar="B,...", default="160",
              show_default=True,
              help="Of the beta decodes; several are the paper's ablation.")  # fmt: skip
@click.option("--official", is_flag=True,
              help="As LPN's code: clip true boxes, OKS-NMS for these, too.")  # fmt: skip
@click.option("--no-nms", is_flag=True, help="No OKS-NMS of poses from detections.")
@click.option("--results", type=ANY_FILE, help="COCO results to write; of one decode.")
@click.option("--limit", type=click.IntRange(min=0), default=0,
              help="Only so many images (0: all).")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Of PyTorch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    checkpoint: Path,
    annotations: Path,
    images: Path,
    detections: Path | None,
    head_boxes: Path | None,
    bias: float | None,
    engine: str,
    flip: bool,
    flip_shift: int | None,
    kinds: tuple[str, ...],
    betas: tuple[float, ...],
    official: bool,
    no_nms: bool,
    results: Path | None,
    limit: int,
    batch: int,
    device: str,
    as_json: bool,
) -> None:
    """COCO keypoint AP, or PCKh for a model with MPII's joints.

    CHECKPOINT may also be a model file (.safetensors, with --engine core) or an .onnx teacher.
    """
    from lpn_core import evaluation
    from lpn_core.cli.eval_options import (
        check_results,
        check_results_folder,
        chosen_bias,
        describe,
        summary,
        suppression,
    )
    from lpn_core.cli.tables import table
    from lpn_core.model.spec import HEATMAP_STRIDE

    from lpn_training.evaluate import open_candidate

    nms = suppression(official=official, no_nms=no_nms)
    check_results_folder(results)
    with report_errors():
        candidate = open_candidate(checkpoint, engine=engine, device=device)
        shift = candidate.flip_shift if flip_shift is None else flip_shift
        width = candidate.spec.width // HEATMAP_STRIDE
        if shift >= width:
            raise ValueError(
                f"--flip-shift is {shift}; wanted less than the heatmaps' width, {width}"
            )
        decodes = evaluation.decodes_of(kinds or KINDS, betas=betas, flip_shift=shift)
        people = evaluation.open_people(
            candidate.keypoint_set,
            annotations,
            images,
            detections=detections,
            head_boxes=head_boxes,
            limit=limit,
            clip=official,
            bias=chosen_bias(bias, candidate.keypoint_set, candidate.architecture),
        )
        check_results(results, people, decodes)
    with report_errors(results):
        try:
            found = evaluation.evaluate(
                people,
                candidate.network,
                candidate.spec,
                decodes=decodes,
                flip=flip,
                nms=nms,
                batch=batch,
                progress=_bar,
                results=results,
            )
        except ValueError as error:
            # Nothing in the command was wrong: an image was.
            raise click.ClickException(str(error)) from error
    document = describe(
        people, name=str(checkpoint), annotations=annotations, detections=detections, flip=flip
    )
    if as_json:
        click.echo(json.dumps({**document, "metrics": found}, allow_nan=False))
    else:
        click.echo(table(found, "decode"))
        click.echo(summary(document), err=True)


def _bar(images: Sequence[Item]) -> Iterable[Item]:
    bar: Iterable[Item] = tqdm(
        images, desc="evaluate", unit="image", file=sys.stderr, disable=None, leave=False
    )
    return bar
