"""lpn predict: poses of the people in images, as pictures and JSON."""

from __future__ import annotations

import io
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from PIL import Image
from tqdm import tqdm

from lpn_core._files import write_atomically
from lpn_core.cli.boxes import BoxesFile, read_boxes
from lpn_core.cli.images import absolute, expand, result_name
from lpn_core.cli.messages import with_name
from lpn_core.cli.models import open_model, precision_option
from lpn_core.cli.outputs import check_folder
from lpn_core.cli.results import Results, document_of
from lpn_core.cli.stopping import StopRequest
from lpn_core.estimator import PoseEstimator
from lpn_core.image.load import read_image
from lpn_core.model.spec import SCORE_THRESHOLD

_JPEG_QUALITY = 92

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
@precision_option
@click.option("--model", default="lpn50", show_default=True, help="Bundled name or model file.")
@click.option(
    "--threshold",
    type=float,
    default=SCORE_THRESHOLD,
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
    precision: str,
    model: str,
    threshold: float,
    output: Path | None,
    to_stdout: bool,
) -> None:
    """Find the poses of the people in images.

    IMAGE is a file (JPEG, PNG, WebP, BMP, GIF, TIFF, PNM, JPEG 2000, AVIF, QOI or TGA), a folder or
    a glob pattern. Subfolders of a folder are not searched: 'photos/**/*.jpg', in quotes, finds the
    images in them. For each, a picture NAME-ID.pose.jpg (.png for PNG images) shows the skeletons,
    where ID follows from the image's folder and name; predictions.json lists the joints of all,
    those of earlier runs into the same folder included. Pixels are those of the image as its EXIF
    orientation shows it; see --no-exif. Of several frames the first is taken, with a warning.

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
    stopped by Ctrl-C or SIGTERM, with what was done by then in predictions.json. What a killed run
    had done is added there by the next run into its folder.
    """  # noqa: D301
    if boxes is not None and whole_image:
        raise click.UsageError("both --boxes and --whole-image were given; wanted one of them")
    if boxes is None and not whole_image:
        raise click.UsageError("say where the people are: either --boxes FILE or --whole-image")
    paths = expand(images)
    boxes_file = None if boxes is None else read_boxes(boxes, len(paths))
    exif = not (no_exif or (boxes_file is not None and boxes_file.is_coco))
    folder = output if output is not None or to_stdout else Path()
    estimator = PoseEstimator(open_model(model, threads=threads, precision=precision))
    if folder is not None:
        _make_folder(folder)
    job = _Job(estimator, boxes_file, exif, flip, threshold, folder)
    try:
        results = Results(folder)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--output") from None
    unwritten: OSError | None = None
    with StopRequest("image") as stop:
        try:
            with results:
                _run(job, paths, results, stop)
        except OSError as error:
            unwritten = error
    if to_stdout:
        click.echo(document_of(results.images, results.failed))
    elif unwritten is None:
        people = sum(len(entry["people"]) for entry in results.images)
        click.echo(f"images: {len(results.images)}, people: {people} -> {folder}", err=True)
    if unwritten is not None:
        raise click.ClickException(str(unwritten))
    if stop.received is not None:
        tried = len({entry["file"] for entry in (*results.images, *results.failed)})
        click.echo(f"stopped by {stop.received.name} after {tried} of {len(paths)}", err=True)
        sys.exit(stop.exit_code)
    if results.failed:
        sys.exit(1)


def _run(job: _Job, paths: Sequence[Path], results: Results, stop: StopRequest) -> None:
    for path in tqdm(paths, unit="image", file=sys.stderr, disable=None, leave=False):
        if stop.received is not None:
            break
        try:
            job.run(path, results)
        except (ValueError, TypeError, OSError) as error:
            message = with_name(error, path)
            results.fail(absolute(path), message)
            tqdm.write(message, file=sys.stderr)


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

    def run(self, path: Path, results: Results) -> None:
        """Estimates, draws and writes.

        Raises:
            ValueError: the image or its boxes are not what they should be.
            OSError: the image cannot be read, or its picture not written; its poses are kept then.
        """
        pixels, first_frame_only = read_image(path, exif=self._exif)
        boxes = None if self._boxes_file is None else self._boxes_file.find(path)
        poses = self._estimator(
            pixels, boxes, whole_image=boxes is None, flip=self._flip, order="rgb"
        )
        height, width = pixels.shape[:2]
        _logger.info("%s: %d x %d pixels, people: %d", path, width, height, len(poses))
        suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
        name = result_name(path) + suffix
        entry = {
            "file": absolute(path),
            "picture": None if self._folder is None else name,
            "width": width,
            "height": height,
            "first_frame_only": first_frame_only,
            "model": self._estimator.model.name,
            **poses.to_dict(),
        }
        if self._folder is None:
            results.add(entry)
            return
        try:
            # Before the picture: where that is, its poses are, too.
            results.add(entry)
            drawn = poses.draw(pixels, order="rgb", threshold=self._threshold)
            picture = Image.fromarray(drawn)
            buffer = io.BytesIO()
            if suffix == ".png":
                picture.save(buffer, "PNG")
            else:
                picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
            write_atomically(self._folder / name, [buffer.getvalue()])
        except BaseException:
            results.without_picture(entry)
            raise
