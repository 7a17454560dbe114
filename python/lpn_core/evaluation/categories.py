"""Whose joints a COCO keypoint file labels: COCO's, of another known set, or of its maker's own."""

from __future__ import annotations

import logging
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpn_core._json import is_text
from lpn_core.keypoints import COCO17, KEYPOINT_SETS, KeypointSet

logger = logging.getLogger(__name__)

# COCO's ratio of a person's area to its box's.
FILLED = 0.53
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}


@dataclass(frozen=True)
class PersonCategory:
    """The category of a file whose annotations have keypoints.

    Attributes:
        number: its id; None where every annotation counts.
        keypoint_set: the joints.
        order: joint i of the set is the file's joint ``order[i]``.
        is_coco: whether the file is as COCO's are: of one category, 1, and its joints in order.
    """

    number: int | str | None
    keypoint_set: KeypointSet
    order: tuple[int, ...]
    is_coco: bool

    def holds(self, annotation: Mapping[str, Any]) -> bool:
        """Whether an annotation is of a person."""
        return self.number is None or annotation.get("category_id") == self.number

    def people_of(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A file's content as COCO's files have it, with its people alone.

        Their category is 1, their joints are in the order of the set, and the area of one who has
        none is that of the box as COCO's people fill theirs.
        """
        if self.is_coco:
            return dict(content)
        people = [self._person(a) for a in content["annotations"] if self.holds(a)]
        return {**content, "annotations": people, "categories": [{"id": 1, "name": "person"}]}

    def _person(self, annotation: Mapping[str, Any]) -> dict[str, Any]:
        person = {**annotation, "category_id": 1}
        if "keypoints" in person:
            values = annotation["keypoints"]
            person["keypoints"] = [values[3 * j + part] for j in self.order for part in range(3)]
        if person.get("area") is None and "bbox" in person:
            person["area"] = FILLED * max(0, person["bbox"][2]) * max(0, person["bbox"][3])
        return person


def person_category(file: Path, content: Mapping[str, Any]) -> PersonCategory:
    """The category that names joints, with COCO's where none does.

    Joints that are named as those of a known set, in any order and spelling, are that set's. Others
    are a set of their own, whose left and right ones follow from their names.

    Args:
        file: for the errors.
        content: of it.

    Raises:
        ValueError: several categories with joints that annotations use, or joints that are no
            different names.
    """
    listed = content.get("categories")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    named = [entry for entry in entries if entry.get("keypoints")]
    if len(named) > 1:
        annotated = [a for a in content["annotations"] if isinstance(a, dict)]
        used = [a.get("category_id") for a in annotated if a.get("keypoints")]
        named = [entry for entry in named if entry.get("id") in used] or named[:1]
    if not named:
        return PersonCategory(None, COCO17, tuple(range(len(COCO17))), is_coco=True)
    if len(named) > 1:
        names = ", ".join(reprlib.repr(entry.get("name")) for entry in named)
        raise ValueError(
            f"{file}: annotations of several categories have keypoints: {names}; leave those of "
            "one in the file"
        )
    (entry,) = named
    joints = entry["keypoints"]
    if not (isinstance(joints, list) and all(is_text(name) and name for name in joints)):
        raise ValueError(f"{file}: a category's keypoints are {reprlib.repr(joints)}; wanted names")
    if len(set(joints)) != len(joints):
        raise ValueError(f"{file}: a category's keypoints are {reprlib.repr(joints)}; one is twice")
    alone = len(entries) == 1
    number = None if alone else entry.get("id")
    plain = [plain_name(name) for name in joints]
    for known in KEYPOINT_SETS.values():
        if sorted(plain) == sorted(known.names):
            order = tuple(plain.index(name) for name in known.names)
            in_order = order == tuple(range(len(COCO17)))
            is_coco = alone and known is COCO17 and in_order and entry.get("id") == 1
            return PersonCategory(number, known, order, is_coco)
    own = _own_set(file, entry, joints, plain)
    return PersonCategory(number, own, tuple(range(len(joints))), is_coco=False)


def plain_name(name: str) -> str:
    """A name as the known sets spell theirs: the side first, words between underscores."""
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))
    lower = [word.lower() for word in words]
    sides = [_SIDES[word] for word in lower if word in _SIDES]
    rest = [word for word in lower if word not in _SIDES]
    return "_".join((sides + rest) if len(sides) == 1 and rest else lower)


def _own_set(
    file: Path, entry: Mapping[str, Any], joints: list[str], plain: list[str]
) -> KeypointSet:
    pairs = []
    for index, name in enumerate(plain):
        side, _, rest = name.partition("_")
        other = f"right_{rest}"
        if side == "left" and plain.count(name) == plain.count(other) == 1:
            pairs.append((index, plain.index(other)))
    if not pairs:
        logger.warning(
            "%s: none of the joints %s is called left and another one right: a mirrored picture "
            "leaves each where it is", file, reprlib.repr(joints),
        )  # fmt: skip
    category = entry.get("name")
    name = f"{plain_name(category) if isinstance(category, str) else ''}{len(joints)}"
    return KeypointSet(
        name=f"own_{name}" if name in KEYPOINT_SETS or name == str(len(joints)) else name,
        names=tuple(joints),
        skeleton=_skeleton(file, entry.get("skeleton"), len(joints)),
        mirror_pairs=tuple(pairs),
        sigmas=None,
    )


def _skeleton(file: Path, limbs: object, count: int) -> tuple[tuple[int, int], ...]:
    """Pairs of joints from 0; files count them from 1, but for some tools, which show a 0."""
    pairs = [pair for pair in limbs if isinstance(pair, list)] if isinstance(limbs, list) else []
    numbers = [joint for pair in pairs for joint in pair]
    first = 0 if 0 in numbers else 1
    sound = all(type(joint) is int and first <= joint < count + first for joint in numbers)
    if not sound or not all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs):
        logger.warning("%s: a category's skeleton has no pairs of its joints; left out", file)
        return ()
    return tuple((a - first, b - first) for a, b in pairs)
