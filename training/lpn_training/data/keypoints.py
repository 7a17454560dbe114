"""COCO-17 facts that training needs on machines without ``lpn_core``.

A test holds these equal to ``lpn_core.keypoints``.
"""

from __future__ import annotations

NUM_COCO_JOINTS = 17

# Index of the joint that a left-right mirror turns joint k into (nose, eyes, ears, shoulders, ...).
COCO_MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

# COCO's object keypoint similarity constants.
COCO_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
    0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
