"""Skeletons painted onto arrays of pixels: anti-aliased, as thick as the person is large."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lpn_core import _core
from lpn_core.keypoints import KeypointSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import ChannelOrder

Colour = tuple[int, int, int]

_LEFT: Colour = (255, 140, 26)
_RIGHT: Colour = (38, 150, 255)
_MIDDLE: Colour = (64, 220, 120)
_OUTLINE: Colour = (16, 16, 16)
# Thicknesses: of a line, of the dark line that shows around it, and of a joint's dot, as parts of
# the first.
_WIDTHS = (1.6, 1.0)
_DOT = 1.25


def draw_skeletons(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    boxes: NDArray[np.float64],
    keypoint_set: KeypointSet,
    *,
    threshold: float,
    order: ChannelOrder,
) -> None:
    """Paints people onto an image, one over the other.

    Args:
        image: (H, W, 3), written to.
        keypoints: (N, K, 2) x, y in its pixels.
        scores: (N, K).
        boxes: (N, 4) x, y, width, height.
        keypoint_set: of the K joints.
        threshold: joints with a lower score, and their limbs, are left out, as are those that are
            NaN or infinite.
        order: of the image's channels, "rgb" or "bgr".
    """
    visible = (scores >= threshold) & np.isfinite(keypoints).all(axis=2)
    shown = visible.any(axis=1)
    if not shown.any():
        return
    visible, points = visible[shown], keypoints[shown].astype(np.float64)
    starts, ends, widths, colours = _strokes(keypoint_set)
    thickness = np.minimum(_thickness(points, visible, boxes[shown]), max(image.shape[:2]) / 8)
    # Of each person the outline of the whole figure, then its colours.
    shape = (len(points), len(_WIDTHS), len(starts))
    chosen = np.broadcast_to((visible[:, starts] & visible[:, ends])[:, None], shape)
    lines = np.stack([points[:, starts], points[:, ends]], axis=2)[:, None]
    _core.draw_lines(
        image,
        np.broadcast_to(lines, (*shape, 2, 2))[chosen],
        (thickness[:, None, None] / 2 * widths)[chosen],
        np.broadcast_to(colours if order == "rgb" else colours[..., ::-1], (*shape, 3))[chosen],
    )


def _thickness(
    points: NDArray[np.float64], visible: NDArray[np.bool_], boxes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the lines in image pixels: a fiftieth of the person, at least what one can see."""
    low = np.where(visible[..., None], points, np.inf).min(axis=1)
    high = np.where(visible[..., None], points, -np.inf).max(axis=1)
    extent = (high - low).max(axis=1)
    size = np.maximum(extent, np.minimum(boxes[:, 2:].max(axis=1), 2 * extent))
    return np.asarray(np.maximum(1.5, 0.02 * size), np.float64)


@lru_cache
def _strokes(
    keypoint_set: KeypointSet,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.uint8]]:
    """A figure's limbs and then its joints' dots.

    Returns:
        (S,) the joints where they begin and (S,) where they end; (2, S) their widths and (2, S, 3)
        their RGB colours, as outline and on top of it.
    """
    joints = np.arange(len(keypoint_set))
    limbs = np.array(keypoint_set.skeleton, np.intp).reshape(-1, 2)
    starts, ends = (np.concatenate([limbs[:, side], joints]) for side in (0, 1))
    parts = np.concatenate([np.ones(len(limbs)), np.full(len(joints), _DOT)])
    names = keypoint_set.names
    sides = [_colour(names[a], names[b]) for a, b in zip(starts, ends, strict=True)]
    colours = np.array([[_OUTLINE] * len(sides), sides], np.uint8)
    return starts, ends, np.outer(_WIDTHS, parts), colours


def _colour(a: str, b: str) -> Colour:
    """Of a limb: of its side, or the middle's where it joins both."""
    sides = {prefix for name in (a, b) for prefix in ("left_", "right_") if name.startswith(prefix)}
    # A limb between a side and the middle belongs to the side.
    return {"left_": _LEFT, "right_": _RIGHT}[sides.pop()] if len(sides) == 1 else _MIDDLE
