"""The people of pictures that `lpn quantize` finds scales on and judges by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpn_core import _core
from lpn_core.cli.boxes import read_boxes
from lpn_core.cli.images import expand
from lpn_core.evaluation import CocoPeople, ImagePeople
from lpn_core.image import regions
from lpn_core.image.load import load_image
from lpn_core.keypoints import KeypointSet
from lpn_core.model.spec import InputSpec
from lpn_core.quantization import MIN_CROPS


@dataclass(frozen=True)
class CalibrationPeople:
    """Pictures and whom they show.

    Attributes:
        images: all that show anybody.
        labelled: the data set, where there are labels.
        exif: whether the boxes are of the pictures as EXIF turns them.
        whole: whether each picture is one person: there are no boxes.
    """

    images: tuple[ImagePeople, ...]
    labelled: CocoPeople | None = None
    exif: bool = True
    whole: bool = False


def find_people(
    images: Path, boxes: str | None, annotations: Path | None, keypoint_set: KeypointSet
) -> CalibrationPeople:
    """The people of a folder of pictures.

    Raises:
        ValueError: a file of another form, or nobody to see.
        OSError: a picture is missing.
        click.BadParameter: a file of boxes that is none, or no pictures.
    """
    if annotations is not None:
        people = CocoPeople(annotations, images, keypoint_set=keypoint_set)
        return CalibrationPeople(people.images, people, exif=False)
    paths = expand([str(images)])
    if boxes is None:
        nobody = np.zeros((0, 4)), np.zeros(0)
        whole = tuple(ImagePeople(i, path, *nobody) for i, path in enumerate(paths))
        return CalibrationPeople(whole, whole=True)
    file = read_boxes(boxes, len(paths))
    found = []
    for number, path in enumerate(paths):
        rows, scores = regions.check_boxes(file.find(path))
        if len(rows):
            found.append(ImagePeople(number, path, rows, scores))
    if not found:
        raise ValueError(f"{boxes} has no box of anybody in the {len(paths)} pictures of {images}")
    return CalibrationPeople(tuple(found), exif=not file.is_coco)


def split(
    people: CalibrationPeople, crops: int
) -> tuple[tuple[ImagePeople, ...], tuple[ImagePeople, ...], bool]:
    """Pictures to calibrate on and to judge by, of some ``crops`` people each, and whether apart.

    Every other picture, from all over the folder; with few people all of them for both.

    Raises:
        ValueError: fewer people than calibration needs.
    """

    def count(images: Iterable[ImagePeople]) -> int:
        return sum(1 if people.whole else len(image.boxes) for image in images)

    total = count(people.images)
    if total < MIN_CROPS:
        raise ValueError(
            f"the {len(people.images)} pictures show {total} people, too few to find scales on; "
            f"wanted at least {MIN_CROPS}, best some hundreds"
        )

    def spread(images: Sequence[ImagePeople]) -> tuple[ImagePeople, ...]:
        wanted = min(len(images), max(1, round(len(images) * crops / max(count(images), 1))))
        return tuple(images[i * len(images) // wanted] for i in range(wanted))

    first, second = people.images[::2], people.images[1::2]
    if min(count(first), count(second)) < MIN_CROPS:
        both = spread(people.images)
        return (both if count(both) >= MIN_CROPS else people.images), both, False
    calibration = spread(first)
    return (calibration if count(calibration) >= MIN_CROPS else first), spread(second), True


def cut(
    people: CalibrationPeople,
    images: Sequence[ImagePeople],
    spec: InputSpec,
    most: int,
    threads: int,
    progress: Callable[[Sequence[ImagePeople]], Iterable[ImagePeople]],
) -> NDArray[np.uint8]:
    """The crops (N, H, W, 3) RGB of the first ``most`` people.

    Raises:
        ValueError: a picture that cannot be read, or of another size than the annotations say.
        OSError: it is missing.
    """
    found: list[NDArray[np.uint8]] = []
    left = most
    for image in progress(images):
        pixels, order = load_image(image.path, exif=people.exif)
        height, width = pixels.shape[:2]
        if image.size is not None and image.size != (width, height):
            raise ValueError(
                f"{image.path} is {width} x {height} pixels, but the annotations say "
                f"{image.size[0]} x {image.size[1]}: boxes would not fit another version of it"
            )
        boxes = np.array([[0.0, 0.0, width, height]]) if people.whole else image.boxes
        where = regions.regions(np.ascontiguousarray(boxes[:left]), spec)
        crops = _core.crop_affine(
            pixels,
            where.matrices(spec.height, spec.width),
            spec.height,
            spec.width,
            (0, 1, 2) if order == "rgb" else (2, 1, 0),
            (1.0, 1.0, 1.0),
            (0.0, 0.0, 0.0),
            "auto",
            threads,
        )
        found.append(np.rint(crops).astype(np.uint8))
        left -= len(found[-1])
        if left <= 0:
            break
    return np.concatenate(found)
