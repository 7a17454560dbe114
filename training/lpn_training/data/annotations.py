"""Persons of annotation files, for packing: COCO keypoints and MPII."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lpn_core import keypoints as keypoint_sets
from lpn_core._checks import check_id
from lpn_core.evaluation.coco_files import annotation_name, read_annotations
from lpn_core.evaluation.images import read_json
from lpn_core.evaluation.mpii import person_box
from lpn_core.image.regions import clip_box
from lpn_core.keypoints import KeypointSet

from lpn_training.data.keypoints import MPII16


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


def coco_persons(annotations: Path, source: str) -> tuple[list[Person], KeypointSet]:
    """All persons of a COCO keypoint file but crowds, labelled or not, and their joints.

    As the official code does, boxes are clipped to the image, where the file gives its size, and
    persons whose area is 0 are left out.

    Raises:
        ValueError: Not a COCO file, an entry that lacks a field or has another form than COCO's,
            or keypoints of another number of joints; the message names file and entry.
    """
    content, joints = read_annotations(annotations, for_metric=False)
    by_image: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for index, annotation in enumerate(content["annotations"]):
        if not annotation.get("iscrowd"):
            number = _number(annotation, annotation_name(annotations, index, annotation))
            by_image[annotation["image_id"]].append((number, annotation))
    blank = [0.0] * (3 * len(joints))
    persons = []
    for record in content["images"]:
        for number, annotation in by_image[record["id"]]:
            x, y, w, h = map(float, annotation["bbox"])
            if record.get("width") is not None and record.get("height") is not None:
                boxes = np.array([annotation["bbox"]], np.float64)
                x, y, w, h = clip_box(boxes, record["width"], record["height"])[0].tolist()
            area = annotation.get("area")
            if w > 0 and h > 0 and (area is None or area > 0):
                key = f"{source}_{number:012d}"
                points = np.array(annotation.get("keypoints", blank), np.float64).reshape(-1, 3)
                persons.append(Person(key, record["file_name"], (x, y, w, h), points, area))
    return persons, joints


def _number(annotation: dict[str, Any], where: str) -> int:
    """The id, of which the sample's name is made."""
    given = annotation.get("id")
    number = None if given is None else check_id(given, "id")
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{where}: id is {given!r}; wanted a whole number of 0 or more")
    return number


def mpii_persons(annotations: Path, source: str) -> tuple[list[Person], KeypointSet]:
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
    return persons, keypoint_sets.MPII16


# The readers of the forms of annotations: their persons, and the joints of these.
FORMS: dict[str, Callable[[Path, str], tuple[list[Person], KeypointSet]]] = {
    "coco": coco_persons,
    "mpii": mpii_persons,
}


def split_of(annotations: Path) -> str:
    """The last part of the name, COCO's folder: val2017 of ``person_keypoints_val2017.json``."""
    return annotations.stem.rpartition("_")[2]
