"""lpn eval: how good a model is on annotated images."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import click
from tqdm import tqdm

from lpn_core.cli.eval_options import (
    check_results,
    check_results_folder,
    chosen_bias,
    describe,
    summary,
    suppression,
)
from lpn_core.cli.models import open_model, precision_option
from lpn_core.cli.tables import table
from lpn_core.evaluation import (
    DECODES,
    LEVEL,
    ImagePeople,
    decodes_of,
    find_poses,
    intervals,
    open_people,
    score,
)
from lpn_core.model.model import Model
from lpn_core.model.spec import DecodeSpec

_OWN = "model"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _parse_betas(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...]:
    if value is None:
        return ()
    try:
        betas = tuple(float(part) for part in value.split(","))
        decodes_of(["beta"], betas=betas)
    except ValueError:
        raise click.BadParameter(f"{value!r}; wanted positive numbers, such as 40,160") from None
    return betas


@click.command("eval")
@click.argument("model")
@click.option("--annotations", type=_FILE, required=True, help="COCO's or MPII's JSON file.")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of the images, or of the data set.",
)
@click.option("--detections", type=_FILE, help="COCO detections instead of ground-truth boxes.")
@click.option("--head-boxes", type=_FILE, help="MPII's gt_valid.mat.")
@click.option(
    "--bias",
    type=float,
    help="MPII: pixels taken from every prediction.  [default: as published, 1 for LPN, else 0]",
)
@click.option("--flip", is_flag=True, help="Average with the mirrored crops.")
@click.option(
    "--flip-shift", type=click.IntRange(min=0), help="Heatmap pixels.  [default: the model's]"
)
@click.option(
    "--decode",
    "kinds",
    multiple=True,
    type=click.Choice([_OWN, *DECODES]),
    help="Again for several.  [default: the model's own; with --beta all others]",
)
@click.option(
    "--beta",
    "betas",
    callback=_parse_betas,
    metavar="B,...",
    help="Of the beta decodes: a table of several is the paper's ablation.",
)
@click.option(
    "--official", is_flag=True, help="As LPN's code: clip true boxes, OKS-NMS for these, too."
)
@click.option("--no-nms", is_flag=True, help="No OKS-NMS of poses from detections.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="COCO results.")
@click.option(
    "--bootstrap",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also the 95% intervals over N resamples of the images, such as 2000.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Only the first images.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Default: all that this process may use."
)
@precision_option
def evaluate(
    model: str,
    annotations: Path,
    images: Path,
    detections: Path | None,
    head_boxes: Path | None,
    bias: float | None,
    flip: bool,
    flip_shift: int | None,
    kinds: tuple[str, ...],
    betas: tuple[float, ...],
    official: bool,
    no_nms: bool,
    results: Path | None,
    bootstrap: int | None,
    seed: int,
    as_json: bool,
    limit: int,
    batch: int,
    threads: int | None,
    precision: str,
) -> None:
    """Measure MODEL, a bundled name or a model file, on annotated people.

    A model with COCO's joints gets COCO's keypoint AP and AR from person_keypoints_*.json (needs
    the extra lpn-core[eval]); one with MPII's gets PCKh from annot/valid.json of the official code
    and --head-boxes. Images are found through their file_name, with or without a folder images/;
    EXIF is ignored, as the annotations do.

    \b
    lpn eval lpn50 --annotations person_keypoints_val2017.json --images val2017 --flip
    lpn eval lpn50 ... --beta 40,80,120,160,200        the paper's ablation of beta
    lpn eval lpn50 ... --flip --bootstrap 2000         how far the numbers are certain
    """  # noqa: D301
    nms = suppression(official=official, no_nms=no_nms)
    if betas and kinds and not any(kind.startswith("beta") for kind in kinds):
        raise click.UsageError(
            f"--beta is for the beta decodes, but --decode names {' and '.join(kinds)} only; "
            "leave one out, or add --decode beta or beta-quarter"
        )
    check_results_folder(results)
    with open_model(model, threads=threads, precision=precision) as opened:
        try:
            people = open_people(
                opened.keypoint_set,
                annotations,
                images,
                detections=detections,
                head_boxes=head_boxes,
                limit=limit,
                clip=official,
                bias=chosen_bias(bias, opened.keypoint_set, opened.file.provenance.architecture),
            )
            decodes = _decodes(opened, kinds, betas, flip_shift)
        except (ValueError, OSError, ImportError) as error:
            raise click.UsageError(str(error)) from None
        check_results(results, people, decodes)
        try:
            poses = find_poses(
                people.images,
                opened,
                opened.input,
                people.keypoint_set,
                decodes=decodes,
                flip=flip,
                batch=batch,
                threads=opened.threads,
                isa=opened.isa,
                progress=_bar,
            )
            metrics = score(people, poses, opened.input, nms=nms, results=results)
            certain = (
                None
                if bootstrap is None
                else {
                    name: intervals(
                        people, found, opened.input, resamples=bootstrap, seed=seed, nms=nms
                    )
                    for name, found in poses.items()
                }
            )
        except (ValueError, OSError, ImportError) as error:
            raise click.ClickException(str(error)) from None
        document = {
            **describe(
                people,
                name=opened.name,
                annotations=annotations,
                detections=detections,
                flip=flip,
            ),
            "metrics": metrics,
            "bootstrap": None
            if certain is None
            else {"resamples": bootstrap, "seed": seed, "level": LEVEL, "intervals": certain},
        }
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        rows: dict[str, dict[str, float]] = {}
        for name, numbers in metrics.items():
            rows[name] = numbers
            if certain is not None:
                for end, which in enumerate(("low", "high")):
                    ends = {key: interval[end] for key, interval in certain[name].items()}
                    rows[f"{name}, {which}"] = ends
        click.echo(table(rows, "decode"))
        click.echo(summary(document), err=True)
        if bootstrap is not None:
            click.echo(
                f"low, high: ends of the {LEVEL:.0%} interval; resamples of the images: "
                f"{bootstrap}, seed: {seed}",
                err=True,
            )


def _decodes(
    model: Model, kinds: tuple[str, ...], betas: tuple[float, ...], flip_shift: int | None
) -> dict[str, DecodeSpec]:
    """The decodes that the options name, in their order."""
    shift = model.decode.flip_shift if flip_shift is None else flip_shift
    width = model.heatmap_shape(model.input.height, model.input.width)[1]
    if shift >= width:
        raise ValueError(f"--flip-shift is {shift}; wanted less than the heatmaps' width, {width}")
    found: dict[str, DecodeSpec] = {}
    for kind in kinds or (DECODES if betas else (_OWN,)):
        if kind == _OWN:
            found[_OWN] = replace(model.decode, flip_shift=shift)
        else:
            default = model.decode.beta or DecodeSpec().beta
            assert default is not None
            found |= decodes_of([kind], betas=betas or (default,), flip_shift=shift)
    return found


def _bar(images: Sequence[ImagePeople]) -> Iterable[ImagePeople]:
    bar: Iterable[ImagePeople] = tqdm(
        images, unit="image", file=sys.stderr, disable=None, leave=False
    )
    return bar
