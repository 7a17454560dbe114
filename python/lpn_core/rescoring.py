"""The score of a whole person, by which results are ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# SimpleBaseline's IN_VIS_THRE: joints that count towards a person's score.
COUNTED_SCORE = 0.2


def person_scores(
    raw_scores: NDArray[np.floating[Any]], box_scores: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Box score times the mean of the raw joint scores above 0.2.

    The rescoring of SimpleBaseline's COCO evaluation, which LPN's published figures use.

    Args:
        raw_scores: (N, K) heatmap values at the joints, not clipped.
        box_scores: (N,) of the detections; 1 for ground truth.

    Returns:
        (N,), 0 for a person without a joint above 0.2.
    """
    counted = raw_scores > COUNTED_SCORE
    total = np.where(counted, raw_scores, 0).sum(axis=1, dtype=np.float64)
    mean = total / np.maximum(counted.sum(axis=1), 1)
    return np.asarray(box_scores * mean, np.float64)
