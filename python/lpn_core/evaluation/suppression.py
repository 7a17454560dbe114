"""Object keypoint similarity between poses, and the suppression of duplicates by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core._checks import check_number
from lpn_core.keypoints import COCO17

# SimpleBaseline's OKS_THRE.
NMS_OVERLAP = 0.9

Points = NDArray[np.floating[Any]]


def oks(
    pose: Points,
    others: Points,
    area: float,
    areas: Points,
    sigmas: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Object keypoint similarity of one pose to others.

    mean over joints of exp(-d^2 / (2 s^2 k^2)) with k twice COCO's sigma of the joint, as in
    pycocotools' ``computeOks``, and s^2 the mean of the two areas, as in SimpleBaseline's OKS-NMS.

    Args:
        pose: (K, 2) x, y.
        others: (N, K, 2), in the same pixels.
        area: of the pose.
        areas: (N,) of the others.
        sigmas: of the K joints; None for COCO's.

    Returns:
        (N,) in [0, 1].

    Raises:
        ValueError: another number of joints than sigmas.
    """
    variances = (2 * np.asarray(COCO17.sigmas if sigmas is None else sigmas, np.float64)) ** 2
    if len(variances) != len(pose):
        raise ValueError(f"the pose has {len(pose)} joints, but there are {len(variances)} sigmas")
    squared = ((np.asarray(others, np.float64) - pose) ** 2).sum(axis=-1)
    scale = (area + np.asarray(areas, np.float64)) / 2 + np.spacing(1)
    return np.asarray(np.exp(-squared / (2 * variances * scale[:, None])).mean(axis=1))


def oks_nms(
    keypoints: Points,
    scores: Points,
    areas: Points,
    *,
    threshold: float = NMS_OVERLAP,
    sigmas: Sequence[float] | None = None,
) -> list[int]:
    """Which poses of one image to keep: none is left beside a better one that it is too like.

    Args:
        keypoints: (N, K, 2) in image pixels.
        scores: (N,) of the people; of equal ones the first wins.
        areas: (N,) of their grown and padded boxes, in pixels squared.
        threshold: a pose goes when its OKS with a better one is above it.
        sigmas: of the K joints; None for COCO's.

    Returns:
        Indices, best first.
    """
    threshold = check_number(threshold, "threshold")
    if math.isnan(threshold):
        raise ValueError("threshold is nan; wanted a number, such as 0.9")
    waiting = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    keep: list[int] = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        keep.append(int(best))
        similar = oks(
            keypoints[best], keypoints[waiting], float(areas[best]), areas[waiting], sigmas
        )
        # Not `similar <= threshold`: a pose that is NaN is like none, and stays.
        waiting = waiting[~(similar > threshold)]
    return keep
