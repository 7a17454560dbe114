"""Heatmap targets against the official drawing in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lpn_training.data.targets import confident_targets, gaussian_targets  # noqa: E402


def reference_target(
    x: float, y: float, width: int, height: int, sigma: float = 2.0
) -> tuple[np.ndarray, float]:
    """The official drawing: a bell (13 x 13 at sigma 2) pasted with its corners clipped."""
    heatmap = np.zeros((height, width))
    radius = int(3 * sigma)
    mu_x, mu_y = int(x / 4 + 0.5), int(y / 4 + 0.5)
    left, top, right, bottom = mu_x - radius, mu_y - radius, mu_x + radius + 1, mu_y + radius + 1
    if left >= width or top >= height or right < 0 or bottom < 0:
        return heatmap, 0.0
    axis = np.arange(2 * radius + 1) - radius
    bell = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * sigma**2))
    for v in range(max(top, 0), min(bottom, height)):
        for u in range(max(left, 0), min(right, width)):
            heatmap[v, u] = bell[v - top, u - left]
    return heatmap, 1.0


@pytest.mark.parametrize(
    ("height", "width", "joints", "sigma"),
    [(64, 48, 17, 2.0), (64, 64, 16, 2.0), (96, 72, 17, 3.0)],
)
def test_targets_equal_the_official_drawing(
    height: int, width: int, joints: int, sigma: float
) -> None:
    rng = np.random.default_rng(3)
    low, high = (-60, -60), (4 * width + 60, 4 * height + 60)
    points = rng.uniform(low, high, (20, joints, 2))
    points[0, :6] = [[0, 0], [191, 255], [-30, 20], [2, 6], [1.9999, 5.9999], [-26.1, 12]]
    labelled = rng.random((20, joints)) < 0.8
    maps, weights = gaussian_targets(
        torch.from_numpy(points), torch.from_numpy(labelled),
        height=height, width=width, stride=4, sigma=sigma,
    )  # fmt: skip
    assert maps.dtype == weights.dtype == torch.float32
    partly = 0
    for n in range(20):
        for k in range(joints):
            expected, weight = reference_target(*points[n, k].tolist(), width, height, sigma)
            weight *= labelled[n, k]
            assert weights[n, k].item() == weight
            assert np.abs(maps[n, k].numpy() - expected * weight).max() <= 1e-6
            partly += bool(weight and expected.max() < 1)
    assert partly > 0, "no joint outside the map whose Gaussian reaches into it"


def test_confident_targets_are_exact_gaussians() -> None:
    rng = np.random.default_rng(4)
    points, confidence = rng.uniform(-20, 200, (3, 17, 2)), rng.uniform(0, 1, (3, 17))
    confidence[0, 0] = 0
    maps = confident_targets(
        torch.from_numpy(points), torch.from_numpy(confidence), height=64, width=48, stride=4
    )
    ys, xs = np.mgrid[:64, :48]
    for n in range(3):
        for k in range(17):
            x, y = points[n, k] / 4
            bell = confidence[n, k] * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
            assert np.abs(maps[n, k].numpy() - bell).max() <= 1e-5
    assert not maps[0, 0].any()
