"""Persons of annotation files, for packing: COCO keypoints and MPII."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from lpn_core.evaluation.images import read_json
from lpn_core.evaluation.mpii import person_box
from lpn_core.preprocess import clip_box

from lpn_training.data.keypoints import COCO17, MPII16, JointSet


@dataclass(frozen=True)
class Person:
    """One annotated person: where, and the joints.

    Attributes:
        key: Name of the sample.
        image: File name.
        box: xywh in image pixels.
        keypoints: (K, 3) float64 x, y, v in image pixels; v = 0 where not labelled.
    """

    key: str
    image: str
    box: tuple[float, float, float, float]
    keypoints: npt.NDArray[np.float64]


def coco_persons(annotations: Path, source: str) -> list[Person]:
    """All persons of a COCO keypoint file but crowds, labelled or not, image by image.

    Boxes are clipped to the image as the official code does.

    Raises:
        ValueError: Not a COCO file, or keypoints of another number of joints.
    """
    content = read_json(annotations)
    wanted = ("images", "annotations")
    missing = [k for k in wanted if not isinstance(content, dict) or k not in content]
    if missing:
        raise ValueError(
            f"{annotations} lacks {' and '.join(missing)}; a COCO person_keypoints_*.json is wanted"
        )
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd", 0):
            by_image[annotation["image_id"]].append(annotation)
    blank = [0.0] * (3 * COCO17.size)
    persons = []
    for record in content["images"]:
        for annotation in by_image[record["id"]]:
            values = np.array(annotation.get("keypoints", blank), np.float64)
            if values.shape != (3 * COCO17.size,):
                raise ValueError(
                    f"{annotations}: annotation {annotation['id']} has {values.size} keypoint "
                    f"values; {3 * COCO17.size} are wanted, x, y, v of each joint"
                )
            boxes = np.array([annotation["bbox"]], np.float64)
            x, y, w, h = clip_box(boxes, record["width"], record["height"])[0].tolist()
            if w > 0 and h > 0:
                key = f"{source}_{annotation['id']:012d}"
                points = values.reshape(-1, 3)
                persons.append(Person(key, record["file_name"], (x, y, w, h), points))
    return persons


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
        missing = [name for name in fields if name not in entry]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        points = np.asarray(entry["joints"], np.float64)
        labelled = np.asarray(entry["joints_vis"], np.float64) > 0
        if points.shape != (MPII16.size, 2) or labelled.shape != (MPII16.size,):
            raise ValueError(
                f"{where} has joints of shape {points.shape} and joints_vis of {labelled.shape}; "
                f"wanted ({MPII16.size}, 2) and ({MPII16.size},)"
            )
        joints: npt.NDArray[np.float64] = np.zeros((MPII16.size, 3))
        joints[labelled, :2] = points[labelled] - 1
        joints[labelled, 2] = 1
        x, y, w, h = person_box(entry)
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
