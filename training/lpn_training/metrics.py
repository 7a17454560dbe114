"""COCO keypoint results: rescoring, OKS-NMS and average precision."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from lpn_core.keypoints import COCO17

JOINT_THRESHOLD = 0.2
NMS_OVERLAP = 0.9
NAMES = ("AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L")

Array = npt.NDArray[np.float64]


def person_scores(joint_scores: Array, box_scores: Array) -> Array:
    """Box score times the mean of the raw joint scores above 0.2; (N, K), (N,) -> (N,)."""
    above = joint_scores > JOINT_THRESHOLD
    count = above.sum(axis=1)
    mean = np.where(above, joint_scores, 0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(mean * box_scores, np.float64)


def oks(one: Array, others: Array, area: float, areas: Array) -> Array:
    """Similarity of one pose (K, 2) to others (N, K, 2), as the official OKS-NMS takes it."""
    variances = (2 * np.asarray(COCO17.sigmas)) ** 2
    squared = ((others - one) ** 2).sum(axis=-1)
    scale = (area + areas) / 2 + np.spacing(1)
    return np.asarray(np.exp(-squared / variances / scale[:, None] / 2).mean(axis=1))


def oks_nms(keypoints: Array, scores: Array, areas: Array) -> list[int]:
    """Indices of the poses of one image to keep, best first.

    Args:
        keypoints: (N, K, 2) in image pixels.
        scores: (N,).
        areas: (N,) of the grown and padded boxes.
    """
    order = list(np.argsort(-scores, kind="stable"))
    keep: list[int] = []
    while order:
        best = order.pop(0)
        keep.append(int(best))
        if order:
            overlap = oks(keypoints[best], keypoints[order], areas[best], areas[order])
            order = [index for index, value in zip(order, overlap, strict=True)
                     if value <= NMS_OVERLAP]  # fmt: skip
    return keep


def coco_results(
    image_id: int,
    keypoints: Array,
    joint_scores: Array,
    box_scores: Array,
    areas: Array | None,
) -> list[dict[str, Any]]:
    """One image's poses as COCO result records, rescored.

    Args:
        image_id: COCO's.
        keypoints: (N, K, 2) in image pixels.
        joint_scores: (N, K) raw heatmap values.
        box_scores: (N,).
        areas: (N,) of the grown and padded boxes for OKS-NMS, or None for no NMS.
    """
    scores = person_scores(joint_scores, box_scores)
    kept = range(len(scores)) if areas is None else oks_nms(keypoints, scores, areas)
    points = np.concatenate((keypoints, joint_scores[..., None]), axis=-1)
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": points[index].reshape(-1).tolist(),
            "score": float(scores[index]),
        }
        for index in kept
    ]


def average_precision(
    content: dict[str, Any], results: list[dict[str, Any]], image_ids: Sequence[int]
) -> dict[str, float]:
    """COCO keypoint AP and AR by pycocotools, the ten numbers by name.

    Args:
        content: The annotation file's content.
        results: Records as ``coco_results`` makes them.
        image_ids: Images that count.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return dict.fromkeys(NAMES, 0.0)
    # pycocotools prints its progress; a library must not.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, (float(value) for value in evaluation.stats), strict=True))
