"""``lpn-train pack``: person crops in tar shards."""

from __future__ import annotations

from pathlib import Path

import click

from lpn_training.cli.errors import told
from lpn_training.cli.paths import ANY_FOLDER, EXISTING_FILE, EXISTING_FOLDER


@click.command()
@click.option("--annotations", type=EXISTING_FILE, required=True,
              help="COCO's person_keypoints_*.json, or MPII's annot/*.json.")  # fmt: skip
@click.option("--images", type=EXISTING_FOLDER, required=True,
              help="Folder of the images, or of the data set.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["coco", "mpii"]), default="coco",
              show_default=True, help="Form of the annotations.")  # fmt: skip
@click.option("--source", help="Name of this data source (default: the format's).")
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
@click.option("-o", "--output", type=ANY_FOLDER, required=True, help="Folder for the shards.")
def pack(
    annotations: Path,
    images: Path,
    form: str,
    source: str | None,
    margin: float,
    size: str | None,
    encoding: str,
    quality: int,
    shard_persons: int,
    workers: int,
    output: Path,
) -> None:
    """Cut the persons of a data set into tar shards.

    A call that was interrupted goes on where it ended when it is given again.
    """
    from lpn_training.data.pack import PackOptions
    from lpn_training.data.pack import pack as run

    height, width = _size(size or ("256x256" if form == "mpii" else "256x192"))
    with told(output):
        options = PackOptions(
            source=source or form,
            margin=margin,
            height=height,
            width=width,
            encoding=encoding,
            quality=quality,
            shard_persons=shard_persons,
        )
        try:
            shards = run(annotations, images, output, options, form=form, workers=workers)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{len(shards)} shards in {output}")


def _size(text: str) -> tuple[int, int]:
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise click.BadParameter(
            f"{text!r}; wanted HEIGHTxWIDTH, such as 256x192", param_hint="--size"
        )
    return int(height), int(width)
