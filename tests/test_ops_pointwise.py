"""1x1 convolution through lpn_core.ops against PyTorch in float64, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from lpn_core import _core, ops
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

TIERS = _core.supported_isas()
# (H, W, C, O) of LPN's 1x1 convolutions at 256 x 192.
LPN_SHAPES = [
    (64, 48, 64, 64),
    (32, 24, 128, 128),
    (16, 12, 256, 256),
    (16, 12, 256, 512),
    (16, 12, 512, 512),
    (64, 48, 256, 256),
    (64, 48, 256, 17),
]


def _draw(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _reference(
    x: NDArray[np.float32], w: NDArray[np.float32], b: NDArray[np.float32]
) -> NDArray[np.float64]:
    image = torch.from_numpy(x).double().permute(0, 3, 1, 2)
    weight = torch.from_numpy(w).double()[:, :, None, None]
    y = torch.nn.functional.conv2d(image, weight, torch.from_numpy(b).double())
    result: NDArray[np.float64] = y.permute(0, 2, 3, 1).numpy()
    return result


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("shape", LPN_SHAPES)
def test_network_shapes(shape: tuple[int, int, int, int], tier: str) -> None:
    height, width, inputs, outputs = shape
    x, w, b = (
        _draw((1, height, width, inputs), 1),
        _draw((outputs, inputs), 2),
        _draw((outputs,), 3),
    )
    exact = _reference(x, w, b)
    ours = ops.pointwise_conv2d(x, w, b, isa=tier)
    assert np.abs(ours - exact).max() / np.abs(exact).max() <= 2e-6


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_epilogue(activation: str, tier: str) -> None:
    for (height, width), inputs, outputs, batch in itertools.product(
        ((1, 1), (3, 5)), (1, 3, 33), (1, 17, 65), (1, 2)
    ):
        x, w = _draw((batch, height, width, inputs), 4), _draw((outputs, inputs), 5)
        b, scale = _draw((outputs,), 6), _draw((outputs,), 7)
        residual = _draw((batch, height, width, outputs), 8)
        exact = _reference(x, w, b) * scale + residual
        if activation != "none":
            exact = np.clip(exact, 0, 6 if activation == "relu6" else None)
        # One rounding per term and one per step of the epilogue.
        magnitude = _reference(np.abs(x), np.abs(w), np.abs(b)) * np.abs(scale) + np.abs(residual)
        bound = (inputs + 4) * magnitude * 2.0**-24
        ours = ops.pointwise_conv2d(x, w, b, scale, residual, activation, isa=tier)
        assert (np.abs(ours - exact) <= bound).all()


@pytest.mark.parametrize("tier", TIERS)
def test_bias_scale_and_residual_are_optional(tier: str) -> None:
    x, w = _draw((1, 2, 3, 5), 9), _draw((7, 5), 10)
    exact = _reference(x, w, np.zeros(7, np.float32))
    bound = 9 * _reference(np.abs(x), np.abs(w), np.zeros(7, np.float32)) * 2.0**-24
    assert (np.abs(ops.pointwise_conv2d(x, w, isa=tier) - exact) <= bound).all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("outputs", [1, 5, 17])
def test_no_images(outputs: int, tier: str) -> None:
    x, w = np.empty((0, 4, 3, 5), np.float32), _draw((outputs, 5), 11)
    assert ops.pointwise_conv2d(x, w, isa=tier).shape == (0, 4, 3, outputs)
