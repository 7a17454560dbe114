"""The self-test of a model file: drawn crops, and where the model finds the joints in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpn_core.image.decode import soft_argmax
from lpn_core.model.model import Model
from lpn_core.model.spec import BETA, HEATMAP_STRIDE

# How far a joint may lie from its recorded place in crop pixels, on any machine, in fp32.
SELF_TEST_TOLERANCE = 0.05
# The same by precision. Maps of 8 significant bits move joints by .14 heatmap pixels (95th
# percentile of LPN-50 on photographs) where they are clear; on drawn crops they are not.
SELF_TEST_TOLERANCES: Mapping[Precision, float] = {
    "fp32": SELF_TEST_TOLERANCE,
    "bf16": HEATMAP_STRIDE / 2,
    "int8": 2.0 * HEATMAP_STRIDE,
}

if TYPE_CHECKING:
    from lpn_core._types import Precision

_logger = logging.getLogger(__name__)


def self_test_keypoints(model: Model) -> NDArray[np.float64]:
    """Runs a model's self-test: (2, K, 2) float64, x and y in crop pixels."""
    heatmaps = model(model.file.self_test.crops)
    beta = model.decode.beta or BETA
    coordinates, _ = soft_argmax(heatmaps, layout="nhwc", beta=beta)
    return coordinates.astype(np.float64) * HEATMAP_STRIDE


def self_test_error(model: Model) -> float:
    """The largest distance of a self-test joint from its recorded place, in crop pixels."""
    difference = self_test_keypoints(model) - model.file.self_test.keypoints
    error = float(np.sqrt((difference**2).sum(axis=2)).max())
    _logger.debug("self-test of %s: %g px", model.name, error)
    return error


def synthetic_crops(height: int, width: int) -> NDArray[np.uint8]:
    """Two drawn crops (2, height, width, 3) uint8: a stick figure and smooth colour waves."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / width, y / height
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((1.0, 2.0), (3.0, -1.0), (-2.0, 4.0))]
    second = 127.5 + 100 * np.stack(waves, axis=-1)
    first = np.stack([90 + 60 * y, 120 - 50 * y, 140 + 40 * x], axis=-1)
    limbs = (
        ((0.5, 0.3), (0.5, 0.55), 0.09, (180, 60, 50)),
        ((0.43, 0.32), (0.3, 0.5), 0.04, (200, 150, 120)),
        ((0.57, 0.32), (0.72, 0.46), 0.04, (200, 150, 120)),
        ((0.46, 0.57), (0.42, 0.85), 0.05, (40, 50, 110)),
        ((0.54, 0.57), (0.6, 0.84), 0.05, (40, 50, 110)),
        ((0.5, 0.18), (0.5, 0.2), 0.06, (210, 160, 130)),
    )
    for (x0, y0), (x1, y1), radius, colour in limbs:
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
        cover = np.clip((radius - distance) * width / 2 + 0.5, 0, 1)[..., None]
        first = first * (1 - cover) + np.array(colour) * cover
    crops: NDArray[np.uint8] = np.stack([first, second]).round().clip(0, 255).astype(np.uint8)
    return crops
