"""How far a network in one precision is from the same network in another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.evaluation import oks
from lpn_core.image.decode import decode, soft_argmax
from lpn_core.model.model import Model
from lpn_core.model.spec import BETA, HEATMAP_STRIDE, SCORE_THRESHOLD
from lpn_core.quantization.ranges import Progress

WORST = 5
_BATCH = 8
# Of a person in COCO: the part of the box that is the person's.
_AREA_SHARE = 0.53


@dataclass(frozen=True)
class Drift:
    """How far joints move; distances are in heatmap pixels.

    Joints are found by beta-Soft-Argmax without the quarter step. Those that the reference itself
    is unsure of, below ``SCORE_THRESHOLD``, have heatmaps of several low hills: the least change
    moves them far, and moves nothing that is drawn. So the clear ones are counted apart, too.

    Attributes:
        crops: how many were compared.
        median: of all joints.
        p95: the 95th percentile of all joints.
        clear_share: the part of the joints that are clear in the reference.
        clear_median: of the clear joints.
        clear_p95: the 95th percentile of the clear joints.
        oks: mean OKS of the poses, with the reference's as truth.
        heatmap_error: root of the heatmaps' squared differences, as a part of the reference's.
        worst: numbers of the crops whose clear joints move most on average, worst first.
    """

    crops: int
    median: float
    p95: float
    clear_share: float
    clear_median: float
    clear_p95: float
    oks: float
    heatmap_error: float
    worst: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "worst": list(self.worst)}


@dataclass(frozen=True)
class Found:
    """Poses on crops, in crop pixels: (N, K, 2) and (N, K) scores, as the model decodes them."""

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]


def compare(
    reference: Model, other: Model, crops: NDArray[np.uint8], progress: Progress | None = None
) -> tuple[Drift, Found, Found]:
    """Runs both on the same crops (N, H, W, 3); also the poses that they find."""
    beta = reference.decode.beta or BETA
    distances, scores, oks_values = [], [], []
    difference = power = 0.0
    poses: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = [[], []]
    spec = reference.input
    area = _AREA_SHARE * spec.height * spec.width / spec.padding**2
    for start in range(0, len(crops), _BATCH):
        part = np.ascontiguousarray(crops[start : start + _BATCH])
        heatmaps = [model(part) for model in (reference, other)]
        places = [soft_argmax(maps, layout="nhwc", beta=beta) for maps in heatmaps]
        distances.append(np.linalg.norm(places[0][0] - places[1][0], axis=-1))
        scores.append(places[0][1])
        difference += float(((heatmaps[1].astype(np.float64) - heatmaps[0]) ** 2).sum())
        power += float((heatmaps[0].astype(np.float64) ** 2).sum())
        for found, maps in zip(poses, heatmaps, strict=True):
            where, values = decode(maps, reference.decode, layout="nhwc")
            found.append((where * np.float32(HEATMAP_STRIDE), values))
        for truth, pose in zip(poses[0][-1][0], poses[1][-1][0], strict=True):
            sigmas = reference.keypoint_set.oks_sigmas
            similarity = oks(truth, pose[None], area, np.array([area]), sigmas)
            oks_values.append(float(similarity[0]))
        if progress is not None:
            progress(len(part))
    moved, score = np.concatenate(distances), np.concatenate(scores)
    clear = score >= SCORE_THRESHOLD
    of_clear = moved[clear] if clear.any() else np.zeros(1)
    means = np.where(clear, moved, 0).sum(axis=1) / np.maximum(clear.sum(axis=1), 1)
    drift = Drift(
        crops=len(crops),
        median=float(np.median(moved)),
        p95=float(np.quantile(moved, 0.95)),
        clear_share=float(clear.mean()),
        clear_median=float(np.median(of_clear)),
        clear_p95=float(np.quantile(of_clear, 0.95)),
        oks=float(np.mean(oks_values)),
        heatmap_error=float(np.sqrt(difference / power)) if power else 0.0,
        worst=tuple(int(i) for i in np.argsort(-means, kind="stable")[:WORST]),
    )
    first, second = (
        Found(np.concatenate([p for p, _ in found]), np.concatenate([s for _, s in found]))
        for found in poses
    )
    return drift, first, second
