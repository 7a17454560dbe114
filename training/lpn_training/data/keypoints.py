"""The joints of ``lpn_core.keypoints`` as tensors are indexed by them."""

from __future__ import annotations

from typing import NamedTuple

from lpn_core import keypoints
from lpn_core.keypoints import KeypointSet


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


def _joints_of(entry: KeypointSet) -> JointSet:
    return JointSet(entry.name, tuple(entry.mirror_index))


COCO17, MPII16 = _joints_of(keypoints.COCO17), _joints_of(keypoints.MPII16)
JOINT_SETS = {entry.name: entry for entry in (COCO17, MPII16)}

# COCO's object keypoint similarity constants.
assert keypoints.COCO17.sigmas is not None
COCO_SIGMAS = keypoints.COCO17.sigmas
