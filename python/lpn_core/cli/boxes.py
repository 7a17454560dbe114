"""Boxes from a JSON file, in the forms that `lpn predict --help` describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Boxes = list[list[float]]
BoxesOf = Callable[[Path], Boxes]
_PERSON = 1


def read_boxes(file: Path, images: int) -> BoxesOf:
    """Reads a boxes file.

    Args:
        file: the JSON file.
        images: how many there are to find boxes for.

    Returns:
        A function from an image's path to its boxes, which raises ValueError for an unknown image.

    Raises:
        click.BadParameter: not JSON, or of no form that is known.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(f"{file}: cannot be read as JSON: {error}") from None
    if isinstance(document, list):
        if document and isinstance(document[0], dict):
            raise _bad(
                f"{file}: COCO results alone do not say which file an image_id is; wanted "
                '{"images": [{"id", "file_name"}], "annotations": [...]}'
            )
        if images != 1:
            raise _bad(
                f"{file}: a bare list of boxes is for one image, there are {images}; "
                'wanted {"FILE_NAME": [[x, y, w, h], ...]}'
            )
        boxes: Boxes = document
        return lambda _: boxes
    if not isinstance(document, dict):
        raise _bad(f"{file}: wanted a JSON list or object")
    if "images" in document and isinstance(document["images"], list):
        return _lookup(file, _from_coco(file, document))
    wrong = [name for name, value in document.items() if not isinstance(value, list)]
    if wrong:
        raise _bad(f"{file}: {wrong[0]!r} is not a list of boxes")
    return _lookup(file, document)


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--boxes")


def _lookup(file: Path, table: dict[str, Boxes]) -> BoxesOf:
    def find(image: Path) -> Boxes:
        for key in (str(image), image.as_posix(), image.name):
            if key in table:
                return table[key]
        raise ValueError(f"{file} has no entry for {image.name!r} (an empty list means nobody)")

    return find


def _from_coco(file: Path, document: dict[str, Any]) -> dict[str, Boxes]:
    try:
        names = {entry["id"]: str(entry["file_name"]) for entry in document["images"]}
        table: dict[str, Boxes] = {name: [] for name in names.values()}
        for entry in document["annotations"]:
            if entry.get("category_id", _PERSON) == _PERSON:
                x, y, w, h = entry["bbox"]
                table[names[entry["image_id"]]].append([x, y, w, h, entry.get("score", 1.0)])
    except KeyError as error:
        raise _bad(f"{file}: in COCO form, but {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _bad(f"{file}: in COCO form, but damaged: {error}") from None
    return table
