"""lpn quantize: a model file that runs in 8-bit integers, and what that costs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from lpn_core._files import write_atomically
from lpn_core.cli.calibration_people import CalibrationPeople, cut, find_people, split
from lpn_core.cli.models import available_threads
from lpn_core.cli.outputs import check_folder
from lpn_core.cli.quantize_report import report_lines
from lpn_core.estimator import model_path, read_model
from lpn_core.evaluation import CocoPeople, ImagePeople
from lpn_core.image.draw import draw_skeletons
from lpn_core.model import file
from lpn_core.model.integer_file import is_bfloat16
from lpn_core.model.model import Model
from lpn_core.model.spec import SCORE_THRESHOLD, ModelFile
from lpn_core.quantization import heatmaps_sha256
from lpn_core.quantization.compare import Found, compare
from lpn_core.quantization.judge import Accuracy, judge, measure
from lpn_core.quantization.layers import (
    layer_milliseconds,
    layer_reports,
    network_snr,
    to_blame,
)
from lpn_core.quantization.quantize import (
    PASSES,
    Calibrated,
    calibrate,
    check_floats,
    with_heatmaps_hash,
    with_integers_alone,
)

# Of so many the signal-to-noise ratios of layers are: every layer runs the network anew.
_SNR_CROPS = 8
_ROUNDS = 30
# In the picture of the worst crops: one that may be replaced.
_TITLE = "lpn quantize: worst crops"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model")
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pictures of people; with --annotations of the data set.",
)
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Where the people are: as for `lpn predict`.  [default: each picture is one person]",
)
@click.option("--annotations", type=_FILE, help="COCO's keypoint file: boxes and labels.")
@click.option(
    "--crops",
    type=click.IntRange(min=32),
    default=300,
    show_default=True,
    help="People to find scales on, and others to judge by.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help="With --annotations: the AP that may be lost.",
)
@click.option(
    "--only",
    type=click.Choice(["int8"]),
    help="Keep the integers alone: the smallest file, for this precision.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Default: all that this process may use."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The model file to write; the picture of the worst crops is OUTPUT.worst.png beside it.",
)
def quantize(
    model: str,
    images: Path,
    boxes: str | None,
    annotations: Path | None,
    crops: int,
    max_drop: float,
    only: str | None,
    threads: int | None,
    as_json: bool,
    output: Path,
) -> None:
    """Find the scales with which MODEL runs in 8-bit integers, and report what that costs.

    The file holds the scales beside the float weights, so that it runs in every precision, or with
    --only int8 the integers alone. Half of the pictures are calibrated on, the other half judged
    by: without labels by the drift of the joints, with --annotations by the AP of both precisions,
    too. No file is written that is slower here than fp32, or loses more than --max-drop.
    """
    if boxes is not None and annotations is not None:
        raise click.UsageError("--boxes and --annotations both say where people are; give one")
    check_folder(output.parent, "--output")
    threads = threads or available_threads()
    try:
        content = read_model(model)
        check_floats(content)
        _check_outputs(output, [Path(model_path(model)), boxes, annotations])
        people = find_people(images, boxes, annotations, content.keypoint_set)
        first, second, apart = split(people, crops)
    except (ValueError, OSError, ImportError) as error:
        raise click.UsageError(str(error)) from None
    try:
        calibrated = _calibrate(content, _cut(people, first, content, crops, threads), threads)
        judged = _cut(people, second, content, crops, threads)
        document, worst = _judge(calibrated, people.labelled, second, judged, threads)
    except (ValueError, OSError, ImportError) as error:
        raise click.ClickException(str(error)) from None
    refusals = _refusals(document, max_drop)
    document |= {"judged_apart": apart, "refused": refusals}
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        click.echo("\n".join(report_lines(document)))
    if refusals:
        blamed = ", ".join(document["to_blame"])
        raise click.ClickException(
            f"{output} is not written: {'; '.join(refusals)}; {blamed} are rounded most coarsely"
        )
    _write(output, calibrated.model_file, worst, only)


def _picture_path(output: Path) -> Path:
    return output.with_name(output.name + ".worst.png")


def _check_outputs(output: Path, inputs: Iterable[str | Path | None]) -> None:
    """Checks that the results replace nothing but results.

    Raises:
        click.BadParameter: they do.
    """
    picture = _picture_path(output)
    for given in inputs:
        for result in (output, picture):
            if given is not None and given != "-" and result.exists() and result.samefile(given):
                raise click.BadParameter(
                    f"{result} is read, and would be lost; wanted another file",
                    param_hint="--output",
                )
    if picture.exists() and not _is_worst_crops(picture):
        raise click.BadParameter(
            f"{picture} is there, and no picture of worst crops; wanted another name, as that "
            "picture is written beside the model file",
            param_hint="--output",
        )


def _is_worst_crops(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return bool(picture.info.get("Title") == _TITLE)
    except OSError:
        return False


def _cut(
    people: CalibrationPeople,
    images: Sequence[ImagePeople],
    content: ModelFile,
    most: int,
    threads: int,
) -> NDArray[np.uint8]:
    return cut(people, images, content.input, most, threads, partial(_bar, what="cutting"))


def _bar(images: Sequence[ImagePeople], *, what: str) -> Iterable[ImagePeople]:
    bar: Iterable[ImagePeople] = tqdm(
        images, what, unit="picture", file=sys.stderr, disable=None, leave=False
    )
    return bar


def _crop_bar(total: int, what: str) -> tqdm[NoReturn]:
    return tqdm(total=total, desc=what, unit="crop", file=sys.stderr, disable=None, leave=False)


def _calibrate(content: ModelFile, crops: NDArray[np.uint8], threads: int) -> Calibrated:
    with _crop_bar(PASSES * len(crops), "calibrating") as bar:
        found = calibrate(content, crops, threads=threads, progress=bar.update)
    return replace(found, model_file=with_heatmaps_hash(found.model_file))


def _judge(
    calibrated: Calibrated,
    labelled: CocoPeople | None,
    images: Sequence[ImagePeople],
    judged: NDArray[np.uint8],
    threads: int,
) -> tuple[dict[str, Any], Image.Image]:
    """The report, and the picture of the worst crops."""
    made = calibrated.model_file
    assert made.quantization is not None
    with (
        Model(made, threads=threads) as plain,
        Model(made, threads=threads, precision="int8") as narrow,
    ):
        with _crop_bar(len(judged), "comparing") as bar:
            drift, truth, found = compare(plain, narrow, judged, bar.update)
        accuracy: Accuracy | None = None
        if labelled is not None:
            accuracy = judge(
                labelled,
                images,
                plain,
                narrow,
                progress=partial(_bar, what="judging"),
            )
        speed = measure(plain, narrow, judged[:1], _ROUNDS)
        milliseconds = [layer_milliseconds(model, _ROUNDS) for model in (plain, narrow)]
        isa = narrow.isa
        worst = _worst_crops(judged, drift.worst, truth, found, plain)
    few = judged[:_SNR_CROPS]
    maps = len(made.quantization.tensors) + 1
    with _crop_bar(maps * len(few), "noise by layer") as bar:
        snr = network_snr(calibrated, few, threads=threads, progress=bar.update)
    layers = layer_reports(calibrated, snr, milliseconds)
    document = {
        "model": made.name,
        "crops": made.quantization.images,
        "judged_crops": len(judged),
        "isa": isa,
        "threads": threads,
        "layers": [layer.to_dict() for layer in layers],
        "drift": drift.to_dict(),
        "accuracy": None if accuracy is None else accuracy.to_dict(),
        "fp32_ms": speed.reference_s * 1e3,
        "int8_ms": speed.quantized_s * 1e3,
        "speedup": speed.ratio,
        "to_blame": to_blame(layers),
        "heatmaps_sha256": made.quantization.heatmaps_sha256,
    }
    return document, worst


def _refusals(document: dict[str, Any], max_drop: float) -> list[str]:
    found = []
    if document["speedup"] < 1:
        found.append(
            f"int8 takes {document['int8_ms']:.2f} ms here, fp32 {document['fp32_ms']:.2f} ms"
        )
    accuracy = document["accuracy"]
    if accuracy is not None and accuracy["drop"] > max_drop:
        found.append(
            f"int8 loses {accuracy['drop']:.4f} AP of {accuracy['reference']:.4f}, more than "
            f"--max-drop {max_drop:g}"
        )
    return found


def _worst_crops(
    crops: NDArray[np.uint8], worst: Sequence[int], truth: Found, found: Found, model: Model
) -> Image.Image:
    """Rows of a crop with the poses of fp32, left, and int8, right."""
    rows = []
    height, width = crops.shape[1:3]
    box = np.array([[0.0, 0.0, width, height]])
    for number in worst:
        pair = []
        for poses in (truth, found):
            picture = crops[number].copy()
            one = slice(number, number + 1)
            draw_skeletons(
                picture, poses.keypoints[one], poses.scores[one], box, model.keypoint_set,
                threshold=SCORE_THRESHOLD, order="rgb",
            )  # fmt: skip
            pair.append(picture)
        rows.append(np.concatenate(pair, axis=0))
    return Image.fromarray(np.concatenate(rows, axis=1))


def _write(output: Path, made: ModelFile, worst: Image.Image, only: str | None) -> None:
    matrices = (array for array in made.weights.values() if array.ndim >= 2)
    dtype = only or ("bfloat16" if all(map(is_bfloat16, matrices)) else "float32")
    if only is not None:
        made = with_integers_alone(made)
    try:
        file.write(output, made, dtype)
        written = heatmaps_sha256(file.read(output))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if written != heatmaps_sha256(made):
        raise click.ClickException(
            f"{output} gives other heatmaps in int8 than those judged; do not use it, report this"
        )
    click.echo(f"{output}: {output.stat().st_size:,} bytes", err=True)
    title = PngInfo()
    title.add_text("Title", _TITLE)
    picture = io.BytesIO()
    worst.save(picture, "PNG", pnginfo=title)
    try:
        write_atomically(_picture_path(output), [picture.getvalue()])
    except OSError as error:
        click.echo(f"warning: the worst crops are not drawn: {error}", err=True)
