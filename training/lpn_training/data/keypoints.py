"""The joints of ``lpn_core.keypoints``, and a user's own, as tensors are indexed by them."""

from __future__ import annotations

from typing import NamedTuple

from lpn_core import keypoints as keypoint_sets
from lpn_core.keypoints import KeypointSet


class JointSet(NamedTuple):
    """The joints of a data set.

    Attributes:
        name: Of the keypoint set.
        mirror: For each joint, the one that a left-right mirror turns it into.
        names: Of the joints.
    """

    name: str
    mirror: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many joints."""
        return len(self.mirror)


def joint_set_of(entry: KeypointSet) -> JointSet:
    """The joints of a keypoint set."""
    return JointSet(entry.name, tuple(entry.mirror_index), entry.names)


COCO17, MPII16 = joint_set_of(keypoint_sets.COCO17), joint_set_of(keypoint_sets.MPII16)

# COCO's object keypoint similarity constants.
assert keypoint_sets.COCO17.sigmas is not None
COCO_SIGMAS = keypoint_sets.COCO17.sigmas
