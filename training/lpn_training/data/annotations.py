"""Persons of annotation files, for packing: COCO keypoints and MPII."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from lpn_core.evaluation.images import read_json
from lpn_core.evaluation.mpii import person_box
from lpn_core.image.regions import clip_box

from lpn_training.data.keypoints import COCO17, MPII16, JointSet


@dataclass(frozen=True)
class Person:
    """One annotated person: where, and the joints.

    Attributes:
        key: Name of the sample.
        image: File name.
        box: xywh in image pixels.
        keypoints: (K, 3) float64 x, y, v in image pixels; v = 0 where not labelled.
        area: In square image pixels; None where the annotation has none.
    """

    key: str
    image: str
    box: tuple[float, float, float, float]
    keypoints: npt.NDArray[np.float64]
    area: float | None = None


def coco_persons(annotations: Path, source: str) -> list[Person]:
    """All persons of a COCO keypoint file but crowds, labelled or not, image by image.

    As the official code does, boxes are clipped to the image, where the file gives its size, and
    persons whose area is 0 are left out.

    Raises:
        ValueError: Not a COCO file, an entry that lacks a field or has another form than COCO's,
            or keypoints of another number of joints; the message names file and entry.
    """
    content = read_json(annotations)
    wanted = ("images", "annotations")
    missing = [k for k in wanted if not isinstance(content, dict) or k not in content]
    if missing:
        raise ValueError(
            f"{annotations} lacks {' and '.join(missing)}; a COCO person_keypoints_*.json is wanted"
        )
    _check_entries(annotations, content)
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd", 0):
            by_image[annotation["image_id"]].append(annotation)
    blank = [0.0] * (3 * COCO17.size)
    persons = []
    for record in content["images"]:
        for annotation in by_image[record["id"]]:
            x, y, w, h = map(float, annotation["bbox"])
            if record.get("width") is not None and record.get("height") is not None:
                boxes = np.array([annotation["bbox"]], np.float64)
                x, y, w, h = clip_box(boxes, record["width"], record["height"])[0].tolist()
            area = annotation.get("area")
            if w > 0 and h > 0 and (area is None or area > 0):
                key = f"{source}_{annotation['id']:012d}"
                points = np.array(annotation.get("keypoints", blank), np.float64).reshape(-1, 3)
                persons.append(Person(key, record["file_name"], (x, y, w, h), points, area))
    return persons


def _check_entries(annotations: Path, content: dict[str, Any]) -> None:
    for name, fault_of in (("images", _image_fault), ("annotations", _person_fault)):
        if not isinstance(content[name], list):
            raise ValueError(f"{annotations}: {name} is no list, as COCO's is")
        for index, entry in enumerate(content[name]):
            known = isinstance(entry, dict)
            fault = fault_of(entry) if known else f"is {reprlib.repr(entry)}"
            if fault:
                number = f" (id {entry['id']!r})" if known and "id" in entry else ""
                raise ValueError(f"{annotations}: {name}[{index}]{number} {fault}")


def _image_fault(record: dict[str, Any]) -> str:
    """What is wrong with an entry of "images", or nothing."""
    for key in ("id", "file_name"):
        if key not in record:
            return f"lacks {key}"
    if not isinstance(record["id"], int | float | str):
        return f"has the id {reprlib.repr(record['id'])}; a number or text is wanted"
    if not (isinstance(record["file_name"], str) and record["file_name"]):
        return f"has the file_name {reprlib.repr(record['file_name'])}; the image's name is wanted"
    for key in ("width", "height"):
        if record.get(key) is not None and not _are_numbers([record[key]], 1):
            return f"has the {key} {reprlib.repr(record[key])}; a number of pixels is wanted"
    return ""


def _person_fault(annotation: dict[str, Any]) -> str:
    """The same of an entry of "annotations". Of crowds only the image counts."""
    if "image_id" not in annotation:
        return "lacks image_id"
    if not isinstance(annotation["image_id"], int | float | str):
        return f"has the image_id {reprlib.repr(annotation['image_id'])}; an image's id is wanted"
    if annotation.get("iscrowd", 0):
        return ""
    for key in ("id", "bbox"):
        if key not in annotation:
            return f"lacks {key}"
    if not isinstance(annotation["id"], int) or annotation["id"] < 0:
        return "has another id than the whole number, at least 0, that is wanted"
    if not _are_numbers(annotation["bbox"], 4):
        return f"has the bbox {reprlib.repr(annotation['bbox'])}; [x, y, width, height] is wanted"
    if annotation.get("area") is not None and not _are_numbers([annotation["area"]], 1):
        return f"has the area {reprlib.repr(annotation['area'])}; a number of pixels is wanted"
    count = 3 * COCO17.size
    joints = annotation.get("keypoints", [0] * count)
    if not isinstance(joints, list) or len(joints) != count:
        size = len(joints) if isinstance(joints, list) else "no list of"
        return f"has {size} keypoint values; {count} are wanted, x, y, v of each joint"
    return "" if _are_numbers(joints, count) else "has keypoints that are no numbers"


def _are_numbers(values: object, count: int) -> bool:
    """Whether it is a list of ``count`` numbers that float64 holds."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and abs(value) < 2**53 for value in values)
    )


def mpii_persons(annotations: Path, source: str) -> list[Person]:
    """All persons of an MPII ``annot/*.json`` in the form of SimpleBaseline and HRNet.

    A list of ``{"image", "joints", "joints_vis", "center", "scale"}``, 1-based. A person's box is
    the square that, padded by 1.25, is the official code's region.

    Raises:
        ValueError: Not such a list, an entry lacks a field or has another number of joints.
    """
    entries = read_json(annotations)
    if not isinstance(entries, list):
        raise ValueError(
            f"{annotations} holds a JSON {type(entries).__name__}; a list of persons is wanted, "
            "the annot/*.json of SimpleBaseline or HRNet"
        )
    persons = []
    for index, entry in enumerate(entries):
        where = f"{annotations}: person {index}"
        fields = ("image", "joints", "joints_vis", "center", "scale")
        if not isinstance(entry, dict):
            raise ValueError(f"{where} is {reprlib.repr(entry)}; an object is wanted")
        missing = [name for name in fields if name not in entry]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        try:
            points = np.asarray(entry["joints"], np.float64)
            labelled = np.asarray(entry["joints_vis"], np.float64) > 0
            x, y, w, h = map(float, person_box(entry))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where} is not in MPII's form: {error}") from error
        if points.shape != (MPII16.size, 2) or labelled.shape != (MPII16.size,):
            raise ValueError(
                f"{where} has joints of shape {points.shape} and joints_vis of {labelled.shape}; "
                f"wanted ({MPII16.size}, 2) and ({MPII16.size},)"
            )
        joints: npt.NDArray[np.float64] = np.zeros((MPII16.size, 3))
        joints[labelled, :2] = points[labelled] - 1
        joints[labelled, 2] = 1
        persons.append(Person(f"{source}_{index:06d}", entry["image"], (x, y, w, h), joints))
    return persons


class Form(NamedTuple):
    """A form of annotations: its reader, and its joints."""

    read: Callable[[Path, str], list[Person]]
    joints: JointSet


FORMS = {"coco": Form(coco_persons, COCO17), "mpii": Form(mpii_persons, MPII16)}


def split_of(annotations: Path) -> str:
    """The last part of the name, COCO's folder: val2017 of ``person_keypoints_val2017.json``."""
    return annotations.stem.rpartition("_")[2]
