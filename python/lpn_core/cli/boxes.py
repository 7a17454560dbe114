"""Boxes from a JSON file, in the forms that `lpn predict --help` describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Boxes = list[list[float]]
_PERSON = 1


@dataclass(frozen=True)
class BoxesFile:
    """The boxes of some images.

    Attributes:
        find: from an image's path to its boxes; raises ValueError for an image not in the file.
        is_coco: in one of COCO's forms, whose coordinates ignore EXIF orientation.
    """

    find: Callable[[Path], Boxes]
    is_coco: bool


def read_boxes(file: Path, images: int) -> BoxesFile:
    """Reads a boxes file.

    Args:
        file: the JSON file.
        images: how many there are to find boxes for.

    Raises:
        click.BadParameter: not JSON, or of no form that is known.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(f"{file}: cannot be read as JSON: {error}") from None
    if isinstance(document, list):
        if document and isinstance(document[0], dict):
            return BoxesFile(_by_id(file, document, images), is_coco=True)
        if images != 1:
            raise _bad(
                f"{file}: a bare list of boxes is for one image, there are {images}; "
                'wanted {"FILE_NAME": [[x, y, w, h], ...]}'
            )
        boxes: Boxes = document
        return BoxesFile(lambda _: boxes, is_coco=False)
    if not isinstance(document, dict):
        raise _bad(f"{file}: wanted a JSON list or object")
    if "images" in document and isinstance(document["images"], list):
        return BoxesFile(_by_name(file, _from_annotations(file, document)), is_coco=True)
    wrong = [name for name, value in document.items() if not isinstance(value, list)]
    if wrong:
        raise _bad(f"{file}: {wrong[0]!r} is not a list of boxes")
    return BoxesFile(_by_name(file, document), is_coco=False)


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--boxes")


def _by_name(file: Path, table: dict[str, Boxes]) -> Callable[[Path], Boxes]:
    def find(image: Path) -> Boxes:
        parts = image.absolute().parts
        # The longest name first: of two images called 1.jpg each finds that of its own folder.
        trailing = ("/".join(parts[start:]) for start in range(1, len(parts)))
        for key in (str(image), image.as_posix(), image.absolute().as_posix(), *trailing):
            if key in table:
                return table[key]
        raise ValueError(f"{file} has no entry for {image.name!r} (an empty list means nobody)")

    return find


def _from_annotations(file: Path, document: dict[str, Any]) -> dict[str, Boxes]:
    try:
        names = {entry["id"]: str(entry["file_name"]) for entry in document["images"]}
        table: dict[str, Boxes] = {name: [] for name in names.values()}
        for entry in document["annotations"]:
            image, boxes = entry["image_id"], _person(entry)
            if boxes and image not in names:
                raise _bad(f"{file}: image_id {image!r} of an annotation is not in 'images'")
            if boxes:
                table[names[image]] += boxes
    except KeyError as error:
        raise _bad(f"{file}: in COCO form, but {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _bad(f"{file}: in COCO form, but damaged: {error}") from None
    return table


def _by_id(file: Path, detections: list[Any], images: int) -> Callable[[Path], Boxes]:
    table: dict[object, Boxes] = {}
    try:
        for entry in detections:
            table.setdefault(entry["image_id"], []).extend(_person(entry))
    except KeyError as error:
        raise _bad(f"{file}: COCO detections, but {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _bad(f"{file}: COCO detections, but damaged: {error}") from None

    def find(image: Path) -> Boxes:
        keys: list[object] = [image.stem]
        if image.stem.isascii() and image.stem.isdecimal():
            keys.append(int(image.stem))
        for key in keys:
            if key in table:
                return table[key]
        if images == 1 and len(table) == 1:
            return next(iter(table.values()))
        raise ValueError(
            f"{file} has no detections whose image_id is {' or '.join(map(repr, keys))}; for other "
            'ids wanted {"images": [{"id", "file_name"}], "annotations": [...]}'
        )

    return find


def _person(entry: dict[str, Any]) -> Boxes:
    """The entry's box with its score; none of a crowd, of no size, or of another category."""
    x, y, w, h = entry["bbox"]
    is_person = entry.get("category_id", _PERSON) == _PERSON and entry.get("iscrowd", 0) != 1
    return [[x, y, w, h, entry.get("score", 1.0)]] if is_person and w != 0 and h != 0 else []
