"""COCO's annotation and detection files, read and checked entry by entry."""

from __future__ import annotations

import logging
import reprlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lpn_core._checks import check_id
from lpn_core.evaluation.categories import person_category
from lpn_core.evaluation.images import read_json
from lpn_core.keypoints import KeypointSet

logger = logging.getLogger(__name__)

_NUMBERS = {int, float}  # of JSON; a bool is none

Record = dict[str, Any]

_PERSON = 1
# What every entry has, in the order in which it is missed; the metric asks for more of them.
_KEYS = {"images": ("file_name", "id"), "annotations": ("image_id", "bbox")}
_METRIC_KEYS = {
    "images": ("file_name", "id"),
    "annotations": ("keypoints", "image_id", "category_id", "bbox", "area"),
    "categories": ("id",),
}
# Of pixels and areas: beyond, floats are further apart than one.
_LARGEST = 2.0**53


def read_annotations(file: Path, *, for_metric: bool = True) -> tuple[Record, KeypointSet]:
    """Reads a COCO keypoint annotation file.

    Args:
        file: of COCO or of a tool: ``iscrowd``, ``num_keypoints`` and ids of annotations may be
            absent, and whole numbers floats.
        for_metric: whether all must be there that COCO's metric needs. Otherwise annotations may
            lack a category, an area (or have None) and keypoints, crowds a box as well, and there
            need be neither categories nor images.

    Returns:
        The content, as the file has it where that is in COCO's form, else as
        :meth:`~lpn_core.evaluation.categories.PersonCategory.people_of` puts it; and the joints.

    Raises:
        ValueError: a file of another form, or for the metric one without images or the category of
            people; the message names the entry.
        OSError: it cannot be read.
    """
    wanted = _METRIC_KEYS if for_metric else _KEYS
    read = read_json(file)
    content: Record = read if isinstance(read, dict) else {}
    missing = [name for name in wanted if not isinstance(content.get(name), list)]
    if missing:
        raise ValueError(
            f"{file} has no list {missing[0]!r}; wanted COCO annotations, an object with the lists "
            f"{', '.join(wanted)}"
        )
    category = person_category(file, content)

    def counts(name: str, entry: object) -> bool:
        return name != "annotations" or not isinstance(entry, dict) or category.holds(entry)

    for name, keys in wanted.items():
        needed = [key for key in keys if category.is_coco or key not in ("area", "category_id")]
        for index, entry in enumerate(content[name]):
            if counts(name, entry):
                _check_keys(entry, needed, f"{file}: {name}[{index}]", for_metric=for_metric)
    for name in ("images", "annotations"):
        _check_ids(f"{file}: {name}", content[name])
    for index, entry in enumerate(content["images"]):
        _check_image(entry, f"{file}: images[{index}]")
    for index, entry in enumerate(content["annotations"]):
        if category.holds(entry):
            where = annotation_name(file, index, entry)
            has_area = for_metric and category.is_coco
            _check_annotation(entry, where, category.keypoint_set, has_area=has_area)
    content = category.people_of(content)
    if for_metric:
        _check_metric(file, content)
    return content, category.keypoint_set


def annotation_name(file: Path, index: int, entry: Record) -> str:
    """What errors call an annotation."""
    named = "" if entry.get("id") is None else f" (id {entry['id']!r})"
    return f"{file}: annotations[{index}]{named}"


def _check_keys(entry: object, keys: Sequence[str], where: str, *, for_metric: bool) -> None:
    is_crowd = isinstance(entry, dict) and bool(entry.get("iscrowd"))
    for key in keys:
        if key == "bbox" and is_crowd and not for_metric:
            continue
        if not isinstance(entry, dict) or key not in entry:
            raise ValueError(
                f"{where} has no {key!r}; wanted COCO's keypoint annotations, such as "
                "person_keypoints_val2017.json"
            )


def _check_metric(file: Path, content: Record) -> None:
    if not content["images"]:
        raise ValueError(f"{file}: 'images' is empty, so there is nothing to evaluate")
    categories = [category["id"] for category in content["categories"]]
    if _PERSON not in categories:
        raise ValueError(
            f"{file}: 'categories' has the ids {reprlib.repr(categories)}; wanted 1, the person, "
            'as in {"id": 1, "name": "person"}'
        )


def _check_ids(where: str, entries: Sequence[Record]) -> None:
    """Every id once; an annotation may have none."""
    seen: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        if entry.get("id") is None and "image_id" in entry:
            continue
        number = entry["id"]
        if not _is_id(number):
            raise ValueError(
                f"{where}[{index}]: id is {reprlib.repr(number)}; wanted a whole number or text"
            )
        if seen.setdefault(number, index) != index:
            raise ValueError(
                f"{where}[{index}] has the id {number!r} of [{seen[number]}]; wanted each once"
            )


def _check_image(entry: Record, where: str) -> None:
    name = entry["file_name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: file_name is {reprlib.repr(name)}; wanted the image's name")
    for side in ("width", "height"):
        if entry.get(side) is not None and not _are_numbers([entry[side]], 1):
            raise ValueError(f"{where}: {side} is {reprlib.repr(entry[side])}; wanted a number")


def _check_annotation(
    entry: Record, where: str, keypoint_set: KeypointSet, *, has_area: bool
) -> None:
    """Whatever is computed with, also in entries that do not count as people."""
    for key in ("image_id", "category_id"):
        if key in entry and not _is_id(entry[key]):
            raise ValueError(
                f"{where}: {key} is {reprlib.repr(entry[key])}; wanted the number of an entry"
            )
    if "bbox" in entry and not _are_numbers(entry["bbox"], 4, _LARGEST):
        raise ValueError(
            f"{where}: bbox is {reprlib.repr(entry['bbox'])}; wanted four numbers: x, y, width and "
            "height"
        )
    area = entry.get("area")
    if (has_area or area is not None) and not _are_numbers([area], 1, _LARGEST):
        raise ValueError(f"{where}: area is {reprlib.repr(area)}; wanted a number")
    count = entry.get("num_keypoints")
    if count is not None and not (_are_numbers([count], 1) and count == int(count)):
        raise ValueError(f"{where}: num_keypoints is {reprlib.repr(count)}; wanted a whole number")
    crowd = entry.get("iscrowd")
    if crowd is not None and crowd not in (0, 1):
        raise ValueError(f"{where}: iscrowd is {reprlib.repr(crowd)}; wanted 0 or 1")
    joints = entry.get("keypoints", ())
    if "keypoints" in entry and not _are_numbers(joints, 3 * len(keypoint_set), _LARGEST):
        raise ValueError(
            f"{where}: keypoints {_joints_fault(joints)}; wanted x, y and visibility of "
            f"{len(keypoint_set)} joints"
        )


def _joints_fault(joints: object) -> str:
    if not isinstance(joints, list):
        return f"are {reprlib.repr(joints)}"
    for index, value in enumerate(joints):
        if not _are_numbers([value], 1, _LARGEST):
            return f"[{index}] is {reprlib.repr(value)}"
    return f"has {len(joints)} numbers"


def _is_id(value: object) -> bool:
    try:
        check_id(value, "id")
    except TypeError:
        return False
    return True


def _are_numbers(values: object, count: int, largest: float = sys.float_info.max) -> bool:
    """Whether it is a list of ``count`` numbers, none beyond ``largest`` and none NaN."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in _NUMBERS and -largest <= value <= largest for value in values)
    )


def true_boxes(file: Path, content: Record) -> dict[Any, list[list[float]]]:
    """Per image_id the boxes of its labelled people, those that SimpleBaseline's code takes.

    Args:
        file: for the errors.
        content: what :func:`read_annotations` gives.

    Raises:
        ValueError: there are none in its images.
    """
    known = {record["id"] for record in content["images"]}
    found: dict[Any, list[list[float]]] = {}
    foreign: list[Any] = []
    for entry in content["annotations"]:
        labelled = any(entry["keypoints"][2::3]) and not entry.get("iscrowd")
        sized = entry["area"] > 0 and min(entry["bbox"][2:]) > 0
        if entry["category_id"] != _PERSON or not labelled or not sized:
            continue
        if entry["image_id"] in known:
            found.setdefault(entry["image_id"], []).append([*entry["bbox"], 1.0])
        else:
            foreign.append(entry["image_id"])
    if not found and foreign:
        raise ValueError(
            f"{file}: 'images' has none of the annotated people's images: their image_id is such "
            f"as {foreign[0]!r}, the ids there such as {content['images'][0]['id']!r}"
        )
    if not found:
        raise ValueError(
            f"{file} holds no person with a labelled joint: of {len(content['annotations'])} "
            "annotations none has category_id 1, a joint of visibility 1 or 2, iscrowd 0, and a "
            "bbox and an area above 0"
        )
    if foreign:
        logger.info("%s: %d people are in images that it does not list", file, len(foreign))
    return found


def detected_boxes(file: Path, known: set[Any]) -> dict[Any, list[list[float]]]:
    """Per image_id the boxes and scores of the people in a COCO detection results file.

    Args:
        file: the detections.
        known: the ids of the images that count.

    Raises:
        ValueError: a file of another form (the message names the entry), or nobody in these images.
        OSError: it cannot be read.
    """
    content = read_json(file)
    if not isinstance(content, list):
        raise ValueError(
            f"{file}: wanted COCO detections, a list of objects with image_id, category_id, bbox "
            "and score"
        )
    found: dict[Any, list[list[float]]] = {}
    foreign = 0
    for index, entry in enumerate(content):
        fault = _detection_fault(entry)
        if fault:
            raise ValueError(
                f"{file}: entry {index} is no COCO detection (image_id, category_id, bbox, score): "
                f"{fault}"
            )
        if entry["image_id"] not in known:
            foreign += 1
        elif entry["category_id"] == _PERSON and min(entry["bbox"][2:]) > 0:
            found.setdefault(entry["image_id"], []).append([*entry["bbox"], entry["score"]])
    if not found:
        raise ValueError(f"{file} holds no person (category_id 1) in an image of the annotations")
    if foreign:
        logger.info("%s: %d detections are in images without annotations", file, foreign)
    return found


def _detection_fault(entry: object) -> str:
    """What is wrong with a detection, or nothing."""
    if not isinstance(entry, dict):
        return f"it is {reprlib.repr(entry)}"
    for key in ("image_id", "category_id", "bbox", "score"):
        if key not in entry:
            return f"it has no {key!r}"
    if not _is_id(entry["image_id"]):
        return f"image_id is {reprlib.repr(entry['image_id'])}"
    if not _are_numbers(entry["bbox"], 4):
        return f"bbox is {reprlib.repr(entry['bbox'])}, not four numbers"
    if not _are_numbers([entry["score"]], 1):
        return f"score is {reprlib.repr(entry['score'])}, not a number"
    return ""


def completed(annotations: Sequence[Record]) -> list[Record]:
    """Copies of annotations, with what pycocotools needs and not every tool writes.

    Where they are absent, ``iscrowd`` is 0 and ``num_keypoints`` the number of joints with v > 0.
    The ids are new, from 1: pycocotools takes a match with id 0 for none.
    """
    return [
        {
            **entry,
            "id": number,
            "iscrowd": int(entry.get("iscrowd") or 0),
            "num_keypoints": _labelled(entry),
        }
        for number, entry in enumerate(annotations, start=1)
    ]


def _labelled(entry: Record) -> int:
    count = entry.get("num_keypoints")
    return sum(v > 0 for v in entry["keypoints"][2::3]) if count is None else int(count)
