"""Heatmap losses: labels and teacher."""

from __future__ import annotations

from torch import Tensor


def label_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over joints of 0.5 * MSE(w h, w t), the loss of SimpleBaseline and LPN.

    Args:
        heatmaps: (N, K, H, W).
        targets: (N, K, H, W).
        weights: (N, K), 0 for joints without a label.
    """
    return 0.5 * ((heatmaps - targets).square().mean(dim=(2, 3)) * weights.square()).mean()


def teacher_loss(heatmaps: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over joints of 0.5 * w * MSE to the teacher's heatmaps (N, K, H, W); no temperature.

    Args:
        heatmaps: (N, K, H, W).
        teacher: (N, K, H, W).
        weights: w, (N, K) or (1, K); None for 1.
    """
    error = (heatmaps - teacher).square().mean(dim=(2, 3))
    return 0.5 * (error if weights is None else error * weights).mean()
