"""lpn predict: poses of the people in images, as pictures and JSON."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from lpn_core._files import write_atomically
from lpn_core.cli.boxes import BoxesFile, read_boxes
from lpn_core.cli.images import expand, result_names
from lpn_core.cli.messages import with_name
from lpn_core.cli.models import open_model
from lpn_core.cli.outputs import check_folder
from lpn_core.cli.stopping import StopRequest
from lpn_core.estimator import PoseEstimator
from lpn_core.image import read_image

_JPEG_QUALITY = 92
_PREDICTIONS = "predictions.json"

_logger = logging.getLogger(__name__)


def _check_threshold(_: click.Context, __: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value}; wanted a number, such as 0.2")
    return value


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="JSON file with the people's boxes; - for standard input.",
)
@click.option(
    "--no-exif",
    is_flag=True,
    help="Take the pixels as they are stored. Boxes in a COCO form imply it: COCO's annotations "
    "ignore EXIF orientation.",
)
@click.option("--whole-image", is_flag=True, help="Each image shows one person: no boxes.")
@click.option("--flip", is_flag=True, help="Flip test: half the speed, a little more accurate.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Default: all that this process may use."
)
@click.option("--model", default="lpn50", show_default=True, help="Bundled name or model file.")
@click.option(
    "--threshold",
    type=float,
    default=0.2,
    show_default=True,
    callback=_check_threshold,
    help="Lowest score that is drawn.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for pictures and predictions.json, made if need be.  [default: this one]",
)
@click.option(
    "--json", "to_stdout", is_flag=True, help="Print one JSON document; files only with -o."
)
def predict(
    images: tuple[str, ...],
    boxes: str | None,
    no_exif: bool,
    whole_image: bool,
    flip: bool,
    threads: int | None,
    model: str,
    threshold: float,
    output: Path | None,
    to_stdout: bool,
) -> None:
    """Find the poses of the people in images.

    IMAGE is a file, a folder or a glob pattern. Subfolders of a folder are not searched:
    'photos/**/*.jpg', in quotes, finds the images in them. For each, NAME.pose.jpg (.png for PNG
    images) shows the skeletons; predictions.json lists the joints of all. Pixels are those of the
    image as its EXIF orientation shows it; see --no-exif.

    \b
    --boxes FILE is one of
      [[x, y, w, h], ...]                     for a single image
      {"FILE_NAME": [[x, y, w, h], ...]}      for several
      {"images": [{"id", "file_name"}],       COCO annotations
       "annotations": [{"image_id", "bbox", "score"}]}
      [{"image_id", "category_id", "bbox", "score"}, ...]   COCO detections

    Coordinates are pixels; a fifth number of a box is its detection score. FILE_NAME may have
    folders. In the COCO forms only category 1 (person) counts, without crowds and boxes of no size.
    An image_id of detections is the image's name without ending, as text or as a number
    (000000001490.jpg: 1490); a file with one id alone fits any single image.

    Exit status: 0 all done, 1 some images failed (the others are done), 2 wrong usage; 130 or 143
    stopped by Ctrl-C or SIGTERM, with what was done by then in predictions.json.
    """  # noqa: D301
    if boxes is not None and whole_image:
        raise click.UsageError("both --boxes and --whole-image were given; wanted one of them")
    if boxes is None and not whole_image:
        raise click.UsageError("say where the people are: either --boxes FILE or --whole-image")
    paths = expand(images)
    boxes_file = None if boxes is None else read_boxes(boxes, len(paths))
    exif = not (no_exif or (boxes_file is not None and boxes_file.is_coco))
    folder = output if output is not None or to_stdout else Path()
    estimator = PoseEstimator(open_model(model, threads=threads))
    if folder is not None:
        _make_folder(folder)
    job = _Job(estimator, boxes_file, exif, flip, threshold, folder)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with StopRequest() as stop:
        for path, name in tqdm(
            list(zip(paths, result_names(paths), strict=True)),
            unit="image",
            file=sys.stderr,
            disable=None,
            leave=False,
        ):
            if stop.received is not None:
                break
            try:
                done.append(job.run(path, name))
            except (ValueError, TypeError, OSError) as error:
                failed.append({"file": str(path), "error": str(error)})
                tqdm.write(with_name(error, path), file=sys.stderr)
        document = {"model": estimator.model.name, "images": done, "failed": failed}
        # Escaped, so that a file name that is not UTF-8 can be written, too.
        text = json.dumps(document, allow_nan=False)
        if folder is not None:
            try:
                write_atomically(folder / _PREDICTIONS, [text.encode(), b"\n"])
            except OSError as error:
                raise click.ClickException(str(error)) from None
    if to_stdout:
        click.echo(text)
    else:
        people = sum(len(entry["people"]) for entry in done)
        click.echo(f"images: {len(done)}, people: {people} -> {folder}", err=True)
    if stop.received is not None:
        tried = len(done) + len(failed)
        click.echo(f"stopped by {stop.received.name} after {tried} of {len(paths)}", err=True)
        sys.exit(stop.exit_code)
    if failed:
        sys.exit(1)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--output") from None
    check_folder(folder, "--output")


class _Job:
    """What is done with every image."""

    def __init__(
        self,
        estimator: PoseEstimator,
        boxes_file: BoxesFile | None,
        exif: bool,
        flip: bool,
        threshold: float,
        folder: Path | None,
    ) -> None:
        self._estimator = estimator
        self._boxes_file = boxes_file
        self._exif = exif
        self._flip = flip
        self._threshold = threshold
        self._folder = folder

    def run(self, path: Path, name: str) -> dict[str, Any]:
        """Estimates, draws and writes; returns what JSON says of the image."""
        pixels, first_frame_only = read_image(path, exif=self._exif)
        boxes = None if self._boxes_file is None else self._boxes_file.find(path)
        poses = self._estimator(
            pixels, boxes, whole_image=boxes is None, flip=self._flip, order="rgb"
        )
        height, width = pixels.shape[:2]
        _logger.info("%s: %d x %d pixels, people: %d", path, width, height, len(poses))
        suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
        result = {
            "file": str(path),
            "picture": None if self._folder is None else f"{name}{suffix}",
            "width": width,
            "height": height,
            "first_frame_only": first_frame_only,
            **poses.to_dict(),
        }
        if self._folder is not None:
            picture = poses.draw(pixels, order="rgb", threshold=self._threshold)
            buffer = io.BytesIO()
            if suffix == ".png":
                picture.save(buffer, "PNG")
            else:
                picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
            write_atomically(self._folder / f"{name}{suffix}", [buffer.getvalue()])
        return result
