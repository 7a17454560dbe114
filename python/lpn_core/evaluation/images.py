"""The images of a data set and whom to find in them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from lpn_core._checks import check_int

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class ImagePeople:
    """One image and the people to find in it.

    Attributes:
        image_id: of the data set.
        path: of the image.
        boxes: (N, 4) float64 x, y, width, height in pixels as stored (EXIF is ignored); N may be 0.
        box_scores: (N,) float64 of the detections, 1 for ground truth.
        size: (width, height) that the annotations give, or None where they give none.
    """

    image_id: int
    path: Path
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    size: tuple[int, int] | None = None


def check_path(value: object, name: str) -> Path:
    """A path, as text or as an object.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a path")
    return Path(value)


def check_limit(value: object) -> int:
    """How many images count: 0 for all.

    Raises:
        TypeError: not an integer.
        ValueError: a negative one.
    """
    limit = check_int(value, "limit")
    if limit < 0:
        raise ValueError(f"limit is {limit}; wanted 0 for all images, or how many")
    return limit


def find_image(folder: str | os.PathLike[str], file_name: str, *, split: str = "") -> Path:
    """Where the image called ``file_name`` in the annotations is.

    It may lie in ``folder``, its subfolder ``images``, or the subfolder ``split`` of either, with
    or without the folders that ``file_name`` itself has; and it may have been encoded anew, under
    another ending.

    Args:
        folder: of the images, or of the data set.
        file_name: as in the annotations; a name, a path of any system or a URL.
        split: such as "val2017".

    Raises:
        FileNotFoundError: it is in none of these places; the message lists them.
    """
    folder = check_path(folder, "folder")
    names = _possible_names(file_name)
    folders = dict.fromkeys((folder, folder / "images", folder / split, folder / "images" / split))
    places = [base / name for base in folders for name in names]
    for place in places:
        if place.is_file():
            return place
    for place in places:
        for suffix in _SUFFIXES:
            if place.with_suffix(suffix).is_file():
                return place.with_suffix(suffix)
    raise FileNotFoundError(
        f"no image {file_name!r}, with this ending or another, in {', '.join(map(str, folders))}; "
        "wanted the folder that holds the images"
    )


def _possible_names(file_name: str) -> list[str]:
    """The name as it is, its path on this system, and the last parts of both and of an address."""
    path = file_name.replace("\\", "/")
    # s3://bucket/a.jpg?signature, /data/local-files/?d=folder/a%20b.jpg
    forms = (path, path.partition("?")[0], path.rpartition("?d=")[2])
    last = [PurePosixPath(form).name for form in forms]
    names = dict.fromkeys((file_name, path, *last, *map(unquote, last)))
    return [name for name in names if name]


def read_json(file: Path) -> Any:
    """Reads a JSON file, with or without a byte order mark.

    Raises:
        ValueError: not JSON; the message names the file.
        OSError: it cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not a JSON file: {error}") from None
