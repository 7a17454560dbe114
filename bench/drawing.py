"""Skeletons on a 1080p picture: ours, and OpenCV's anti-aliased lines and dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lpn_core import Poses

HEIGHT, WIDTH = 1080, 1920
# A standing person, x and y as parts of a box 500 wide and 1000 high, in COCO's order.
_FIGURE = (
    (0.5, 0.06), (0.53, 0.04), (0.47, 0.04), (0.57, 0.06), (0.43, 0.06), (0.65, 0.2), (0.35, 0.2),
    (0.75, 0.38), (0.25, 0.38), (0.8, 0.52), (0.2, 0.52), (0.6, 0.52), (0.4, 0.52), (0.62, 0.74),
    (0.38, 0.74), (0.63, 0.96), (0.37, 0.96),
)  # fmt: skip


def figures(people: int) -> Poses:
    """People who stand as high as the picture."""
    from lpn_core import COCO17, Poses

    places = np.random.default_rng(0).uniform(0, WIDTH - 500, people)
    keypoints = np.array([np.array(_FIGURE) * (500, 1000) + (x, 20) for x in places])
    boxes = np.array([[x, 20, 500, 1000] for x in places])
    ones = np.ones((people, 17), np.float32)
    size = (WIDTH, HEIGHT)
    return Poses(keypoints.astype(np.float32), ones, boxes, np.ones(people), COCO17, size)


class OurDrawing:
    """``Poses.draw`` as its users call it."""

    def __init__(self, people: int) -> None:
        self._poses = figures(people)
        self._picture = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)

    def run(self) -> NDArray[np.uint8]:
        return self._poses.draw(self._picture, order="bgr")

    def answer(self) -> NDArray[np.bool_]:
        """(H, W): which pixels are painted."""
        return np.asarray((self.run() != 127).any(axis=2))


class PeerDrawing:
    """The same lines by OpenCV, of whole pixels' width."""

    def __init__(self, people: int) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._cv2: Any = cv2
        self._poses = figures(people)
        self._picture = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)

    def run(self) -> NDArray[np.uint8]:
        cv2, picture = self._cv2, self._picture.copy()
        skeleton = self._poses.keypoint_set.skeleton
        for person in self._poses:
            points = [(round(float(x)), round(float(y))) for x, y in person.keypoints]
            for width, colour in ((32, (16, 16, 16)), (20, (26, 140, 255))):
                for a, b in skeleton:
                    cv2.line(picture, points[a], points[b], colour, width, cv2.LINE_AA)
                for point in points:
                    cv2.circle(picture, point, round(width * 0.625), colour, -1, cv2.LINE_AA)
        return picture

    def answer(self) -> NDArray[np.bool_]:
        """(H, W): which pixels are painted."""
        return np.asarray((self.run() != 127).any(axis=2))
