"""``lpn-train pack``: person crops in tar shards."""

from __future__ import annotations

from pathlib import Path

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FILE, ANY_FOLDER, EXISTING_FILE, EXISTING_FOLDER


@click.command()
@click.option("--annotations", type=EXISTING_FILE,
              help="COCO's person_keypoints_*.json, or MPII's annot/*.json.")  # fmt: skip
@click.option("--images", type=EXISTING_FOLDER,
              help="Folder of the images, or of the data set.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["coco", "mpii"]), default="coco",
              show_default=True, help="Form of the annotations.")  # fmt: skip
@click.option("--pictures", type=EXISTING_FOLDER,
              help="Instead of both: a folder of pictures without annotations, whose people "
              "--detector finds and --teacher poses.")  # fmt: skip
@click.option("--detector", type=EXISTING_FILE, help="RTMDet's ONNX file.")
@click.option("--teacher", type=EXISTING_FILE, help="PP-TinyPose's ONNX file.")
@click.option("--against", type=EXISTING_FOLDER, multiple=True,
              help="Folder of pictures that are not to be among --pictures, such as those of the "
              "validation. May be given again.")  # fmt: skip
@click.option("--min-score", default=0.4, show_default=True, type=click.FloatRange(0, 1),
              help="Of the detector.")  # fmt: skip
@click.option("--min-size", default=80.0, show_default=True, type=click.FloatRange(0),
              help="Longer side of a detected box, in pixels.")  # fmt: skip
@click.option("--min-confidence", default=0.3, show_default=True, type=click.FloatRange(0, 1),
              help="Of the teacher, the mean over a person's joints.")  # fmt: skip
@click.option("--source",
              help="Name of this data source (default: the format's, or the folder's of the "
              "pictures).")  # fmt: skip
@click.option("--margin", default=1.625, show_default=True,
              help="Size of a crop, in boxes. The network sees 1.25; rotation and scale reach "
              "beyond: 1.625 covers the scale, 2.6 both.")  # fmt: skip
@click.option("--size", "size", default=None, metavar="HEIGHTxWIDTH",
              help="The network's input (default: 256x192, for MPII 256x256).")  # fmt: skip
@click.option("--encoding", type=click.Choice(["webp", "jpeg"]), default="webp", show_default=True)
@click.option("--quality", default=80, show_default=True, type=click.IntRange(1, 100))
@click.option("--shard-persons", default=1024, show_default=True, type=click.IntRange(1))
@click.option("--workers", type=click.IntRange(min=-1), default=-1, show_default=True,
              help="Processes (-1: one per core).")  # fmt: skip
@click.option("--sheet", type=ANY_FILE, help="Picture of samples to write, their joints drawn.")
@click.option("-o", "--output", type=ANY_FOLDER, required=True, help="Folder for the shards.")
def pack(
    annotations: Path | None,
    images: Path | None,
    form: str,
    pictures: Path | None,
    detector: Path | None,
    teacher: Path | None,
    against: tuple[Path, ...],
    min_score: float,
    min_size: float,
    min_confidence: float,
    source: str | None,
    margin: float,
    size: str | None,
    encoding: str,
    quality: int,
    shard_persons: int,
    workers: int,
    sheet: Path | None,
    output: Path,
) -> None:
    """Cut the persons of a data set, or of a folder of pictures, into tar shards.

    A call that was interrupted goes on where it ended when it is given again.
    """
    from lpn_training.data.pack import PackOptions, keypoints_place
    from lpn_training.data.pack import pack as run
    from lpn_training.data.sheet import draw_sheet

    _check_inputs(
        {"--annotations": annotations, "--images": images},
        {"--pictures": pictures, "--detector": detector, "--teacher": teacher},
    )
    height, width = _size(size or ("256x256" if form == "mpii" else "256x192"))
    with report_errors(output):
        options = PackOptions(
            source=source or (form if pictures is None else pictures.resolve().name),
            margin=margin,
            height=height,
            width=width,
            encoding=encoding,
            quality=quality,
            shard_persons=shard_persons,
        )
        try:
            if annotations is not None and images is not None:
                shards = run(annotations, images, output, options, form=form, workers=workers)
            else:
                assert pictures is not None
                assert detector is not None
                assert teacher is not None
                from lpn_training.data.pictures import PeopleOptions, pack_pictures

                people = PeopleOptions(detector, teacher, min_score, min_size, min_confidence)
                shards, counts = pack_pictures(
                    pictures, output, options, people, against=against, workers=workers
                )
                for name, number in counts.items():
                    click.echo(f"{number:8d} {name}")
            if sheet is not None:
                draw_sheet(shards, sheet)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{len(shards)} shards in {output}")
    own = keypoints_place(output, options.source)
    if own.is_file():
        click.echo(f"joints of its own; in the configuration: model.keypoints = {str(own)!r}")


def _check_inputs(*ways: dict[str, Path | None]) -> None:
    """Hold the command line to one of the ways to name what is packed, whole."""
    named = [way for way in ways if any(value is not None for value in way.values())]
    if len(named) != 1 or None in named[0].values():
        wanted = ", or ".join(" and ".join(way) for way in ways)
        raise click.UsageError(f"wanted {wanted}")


def _size(text: str) -> tuple[int, int]:
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise click.BadParameter(
            f"{text!r}; wanted HEIGHTxWIDTH, such as 256x192", param_hint="--size"
        )
    return int(height), int(width)
