"""Gaussian heatmap targets of SimpleBaseline / LPN, built on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from lpn_training.data.constants import constant

SIGMA = 2.0  # heatmap pixels
WINDOW = 3  # sigmas on each side: 13 x 13 pixels at sigma 2


def gaussian_targets(
    keypoints: Tensor,
    labelled: Tensor,
    *,
    height: int,
    width: int,
    stride: int,
    sigma: float = SIGMA,
) -> tuple[Tensor, Tensor]:
    """Heatmaps with a Gaussian of peak 1 on each labelled joint.

    Args:
        keypoints: (N, K, 2) x, y in input pixels.
        labelled: (N, K) bool.
        height: Heatmap height.
        width: Heatmap width.
        stride: Input pixels per heatmap pixel.
        sigma: Of the Gaussian, in heatmap pixels; it is cut to a window of 3 sigma each way.

    Returns:
        Heatmaps (N, K, height, width) float32 and weights (N, K) float32: 1 for a labelled joint
        whose window touches the map, else 0.
    """
    radius = int(WINDOW * sigma)
    # The official code truncates towards zero: int(x / stride + 0.5).
    centre = torch.trunc(keypoints / stride + 0.5).float()
    low, high = centre - radius, centre + radius + 1
    limit = constant((width, height), keypoints.device)
    visible = labelled & ((low < limit) & (high >= 0)).all(dim=-1)
    axes = []
    for axis, size in ((0, width), (1, height)):
        offset = torch.arange(size, device=keypoints.device) - centre[..., axis, None]
        bell = torch.exp(-(offset**2) / (2 * sigma**2))
        axes.append(bell * (offset.abs() <= radius))
    weights = visible.float()
    heatmaps = axes[1][..., :, None] * axes[0][..., None, :]
    return heatmaps * weights[..., None, None], weights


def confident_targets(
    keypoints: Tensor,
    confidence: Tensor,
    *,
    height: int,
    width: int,
    stride: int,
    sigma: float = SIGMA,
) -> Tensor:
    """Heatmaps with a Gaussian at each exact position, as high as its confidence.

    Args:
        keypoints: (N, K, 2) x, y in input pixels.
        confidence: (N, K), 0 for none.
        height: Heatmap height.
        width: Heatmap width.
        stride: Input pixels per heatmap pixel.
        sigma: Of the Gaussian, in heatmap pixels.

    Returns:
        (N, K, height, width) float32.
    """
    axes = []
    for axis, size in ((0, width), (1, height)):
        position = torch.arange(size, device=keypoints.device)
        offset = position - keypoints[..., axis, None].float() / stride
        axes.append(torch.exp(-(offset**2) / (2 * sigma**2)))
    axes[1] = axes[1] * confidence[..., None]
    return axes[1][..., :, None] * axes[0][..., None, :]
