"""Keypoint sets: names, skeleton, left/right pairs and OKS sigmas."""

from __future__ import annotations

from lpn_core._checks import check_text
from lpn_core._records import dataclass

# Joints without constants of their own are judged by the one of COCO's shoulders.
OTHER_SIGMA = 0.079


@dataclass(frozen=True)
class KeypointSet:
    """The joints a model predicts, in the order of its output channels.

    Attributes:
        name: the set's identifier in model files.
        names: one name per joint.
        skeleton: pairs of joint indices to draw a limb between.
        mirror_pairs: pairs (left, right) that a left-right mirror exchanges.
        sigmas: OKS fall-off per joint, or None where the data set defines none.
    """

    name: str
    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...] | None

    @property
    def mirror_index(self) -> list[int]:
        """For each joint, the joint whose place it takes when the image is mirrored."""
        index = list(range(len(self.names)))
        for left, right in self.mirror_pairs:
            index[left], index[right] = right, left
        return index

    @property
    def oks_sigmas(self) -> tuple[float, ...]:
        """``sigmas``, or that of COCO's shoulders for every joint."""
        return self.sigmas or (OTHER_SIGMA,) * len(self.names)

    def __len__(self) -> int:
        return len(self.names)


# fmt: off
COCO17 = KeypointSet(
    name="coco17",
    names=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    skeleton=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7),
        (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    mirror_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
        0.087, 0.087, 0.089, 0.089,
    ),
)
# fmt: on

# fmt: off
MPII16 = KeypointSet(
    name="mpii16",
    names=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    skeleton=(
        (0, 1), (1, 2), (2, 6), (3, 6), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (7, 12), (12, 11),
        (11, 10), (7, 13), (13, 14), (14, 15),
    ),
    mirror_pairs=((5, 0), (4, 1), (3, 2), (15, 10), (14, 11), (13, 12)),
    sigmas=None,
)
# fmt: on

# fmt: off
CROWDPOSE14 = KeypointSet(
    name="crowdpose14",
    names=(
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "head",
        "neck",
    ),
    skeleton=(
        (10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 2), (1, 3), (2, 4), (3, 5),
        (12, 13), (13, 0), (13, 1),
    ),
    mirror_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    sigmas=(
        0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079,
        0.079,
    ),
)
# fmt: on

KEYPOINT_SETS = {entry.name: entry for entry in (COCO17, MPII16, CROWDPOSE14)}


def get(name: str) -> KeypointSet:
    """The keypoint set called ``name``.

    Raises:
        ValueError: there is none; the message lists those there are.
        TypeError: not text.
    """
    check_text(name, "name")
    try:
        return KEYPOINT_SETS[name]
    except KeyError:
        known = ", ".join(KEYPOINT_SETS)
        raise ValueError(f"unknown keypoint set {name!r}; known: {known}") from None
