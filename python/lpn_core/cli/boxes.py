"""Boxes from a JSON file, in the forms that `lpn predict --help` describes."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Boxes = list[list[float]]
_PERSON = 1
_STDIN = "-"


@dataclass(frozen=True)
class BoxesFile:
    """The boxes of some images.

    Attributes:
        find: from an image's path to its boxes; raises ValueError for an image not in the file, or
            with rows that are no boxes.
        is_coco: in one of COCO's forms, whose coordinates ignore EXIF orientation.
    """

    find: Callable[[Path], Boxes]
    is_coco: bool


def read_boxes(source: str | Path, images: int) -> BoxesFile:
    """Reads a boxes file.

    Args:
        source: the JSON file; "-" for standard input.
        images: how many there are to find boxes for.

    Raises:
        click.BadParameter: not JSON, or of no form that is known.
    """
    file = "standard input" if source == _STDIN else str(source)
    try:
        document = json.loads(_content(source).decode("utf-8-sig"))
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
        return BoxesFile(lambda _: _checked(document, file), is_coco=False)
    if not isinstance(document, dict):
        raise _bad(f"{file}: wanted a JSON list or object")
    if "images" in document and isinstance(document["images"], list):
        return BoxesFile(_by_name(file, _from_annotations(file, document)), is_coco=True)
    wrong = [name for name, value in document.items() if not isinstance(value, list)]
    if wrong:
        raise _bad(f"{file}: {wrong[0]!r} is not a list of boxes")
    return BoxesFile(_by_name(file, document), is_coco=False)


def _content(source: str | Path) -> bytes:
    if source == _STDIN:
        return sys.stdin.buffer.read()
    return Path(source).read_bytes()


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--boxes")


def _by_name(file: str, table: dict[str, Boxes]) -> Callable[[Path], Boxes]:
    def find(image: Path) -> Boxes:
        parts = image.absolute().parts
        # The longest name first: of two images called 1.jpg each finds that of its own folder.
        trailing = ("/".join(parts[start:]) for start in range(1, len(parts)))
        for key in (str(image), image.as_posix(), image.absolute().as_posix(), *trailing):
            if key in table:
                return _checked(table[key], f"{file}: {key!r}")
        raise ValueError(f"{file} has no entry for {image.name!r} (an empty list means nobody)")

    return find


def _checked(boxes: list[Any], where: str) -> Boxes:
    """The rows as floats.

    Raises:
        ValueError: one is not four or five numbers.
    """
    # Both mean nobody.
    if boxes in ([], [[]]):
        return []
    for index, row in enumerate(boxes):
        if not _is_box(row):
            hint = "" if isinstance(row, list) else "; one box is [[x, y, w, h]]"
            raise ValueError(
                f"{where}: boxes[{index}] is {reprlib.repr(row)}; wanted numbers [x, y, w, h], or "
                f"[x, y, w, h, score]{hint}"
            )
    return [[float(value) for value in row] for row in boxes]


def _is_box(row: object) -> bool:
    return isinstance(row, list) and len(row) in (4, 5) and all(map(_is_number, row))


def _is_number(value: object) -> bool:
    # JSON's integers may be too large for a float, and Python's JSON has NaN.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


@contextmanager
def _reading(file: str, form: str, where: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise _bad(f"{file}: {form}, but {error} is missing in {where}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _bad(f"{file}: {form}, but damaged: {where}: {error}") from None


def _from_annotations(file: str, document: dict[str, Any]) -> dict[str, Boxes]:
    form = "in COCO form"
    with _reading(file, form, "the document"):
        annotations = list(document["annotations"])
    names: dict[object, str] = {}
    for index, entry in enumerate(document["images"]):
        with _reading(file, form, f"images[{index}]"):
            names[entry["id"]] = str(entry["file_name"])
    table: dict[str, Boxes] = {name: [] for name in names.values()}
    for index, entry in enumerate(annotations):
        with _reading(file, form, f"annotations[{index}]"):
            image, boxes = entry["image_id"], _person(entry)
            if boxes and image not in names:
                raise _bad(f"{file}: image_id {image!r} of an annotation is not in 'images'")
            if boxes:
                table[names[image]] += boxes
    return table


def _by_id(file: str, detections: list[Any], images: int) -> Callable[[Path], Boxes]:
    table: dict[object, Boxes] = {}
    for index, entry in enumerate(detections):
        with _reading(file, "COCO detections", f"entry {index}"):
            table.setdefault(entry["image_id"], []).extend(_person(entry))

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
    """The entry's box with its score; none of a crowd, of no size, or of another category.

    Raises:
        ValueError: its box is not four numbers, or its score none.
    """
    box, score = entry["bbox"], entry.get("score", 1.0)
    if not _is_box(box) or len(box) != 4:
        raise ValueError(f"bbox is {reprlib.repr(box)}; wanted numbers [x, y, w, h]")
    if not _is_number(score):
        raise ValueError(f"score is {reprlib.repr(score)}; wanted a number")
    is_person = entry.get("category_id", _PERSON) == _PERSON and entry.get("iscrowd", 0) != 1
    return [[*box, score]] if is_person and box[2] != 0 and box[3] != 0 else []
