"""Keypoint facts that training needs on machines without ``lpn_core``.

A test holds these equal to ``lpn_core.keypoints``.
"""

from __future__ import annotations

from typing import NamedTuple


class JointSet(NamedTuple):
    """The joints of a data set.

    Attributes:
        name: As in ``lpn_core.keypoints``.
        mirror: For each joint, the one that a left-right mirror turns it into.
    """

    name: str
    mirror: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many joints."""
        return len(self.mirror)


COCO_MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

COCO17 = JointSet("coco17", COCO_MIRROR)
MPII16 = JointSet("mpii16", (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10))
JOINT_SETS = {entry.name: entry for entry in (COCO17, MPII16)}

# COCO's object keypoint similarity constants.
COCO_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
    0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
