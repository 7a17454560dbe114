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


def teacher_loss(heatmaps: Tensor, teacher: Tensor) -> Tensor:
    """0.5 * MSE to the teacher's heatmaps, every joint."""
    return 0.5 * (heatmaps - teacher).square().mean()
