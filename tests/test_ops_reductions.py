"""GC pooling and its transform, channel means and the SE gate against float64 PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lpn_core import _core, ops
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

TIERS = _core.supported_isas()
NETWORK_SHAPES = [(64, 48, 64), (32, 24, 128), (16, 12, 256), (16, 12, 512)]
OTHER_SHAPES = [(1, 1, 1), (1, 7, 3), (3, 5, 17), (13, 11, 33), (40, 3, 130)]
EPSILON = 2.0**-24

Array = NDArray[np.float32]


def _relative_error(actual: Array, expected: Any) -> float:
    reference = expected.numpy()
    return float(np.abs(actual - reference).max() / np.abs(reference).max())


def _double(value: Array) -> Any:
    return torch.from_numpy(value).double()


def _random(generator: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    return (generator.standard_normal(shape) * scale).astype(np.float32)


def _hidden(channels: int) -> int:
    return max(channels // 16, 16)


def _context(x: Array, w: Array) -> Any:
    positions = _double(x).flatten(1, 2)
    weights = torch.softmax(positions @ _double(w), dim=1)
    return torch.einsum("np,npc->nc", weights, positions)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("shape", NETWORK_SHAPES)
def test_gc_pool_at_network_shapes(shape: tuple[int, int, int], isa: str) -> None:
    generator = np.random.default_rng(1)
    x = np.maximum(_random(generator, 2, *shape), 0)  # a depthwise convolution's ReLU comes before
    w = _random(generator, shape[2], scale=shape[2] ** -0.5)
    assert _relative_error(ops.gc_pool(x, w, isa=isa), _context(x, w)) <= 2e-6


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_gc_pool_at_other_shapes(shape: tuple[int, int, int], isa: str) -> None:
    generator = np.random.default_rng(2)
    height, width, channels = shape
    x = _random(generator, 3, *shape)
    w = _random(generator, channels, scale=4 * channels**-0.5)
    # Each weight is off by its logit's and the maximum's error, their difference's rounding and
    # the exponential's 2 ulp; numerator and denominator add at most a rounding per term.
    logit_magnitude = float((np.abs(x).astype(np.float64) @ np.abs(w)).max())
    weight_error = (2 * (channels + 1) + 2) * EPSILON * logit_magnitude + 4 * EPSILON
    tolerance = 2 * np.abs(x).max() * (weight_error + height * width * EPSILON)
    error = np.abs(ops.gc_pool(x, w, isa=isa) - _context(x, w).numpy()).max()
    assert error <= tolerance


@pytest.mark.parametrize("isa", TIERS)
def test_gc_pool_weights_one_dominant_position(isa: str) -> None:
    generator = np.random.default_rng(3)
    x = _random(generator, 1, 9, 7, 5)
    x[0, 4, 3, 0] = 500
    w = np.array([1, 0, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(ops.gc_pool(x, w, isa=isa)[0], x[0, 4, 3])


@pytest.mark.parametrize("isa", TIERS)
def test_gc_pool_ignores_a_constant_of_the_logits(isa: str) -> None:
    generator = np.random.default_rng(4)
    x = _random(generator, 1, 16, 12, 3)
    w = np.array([1, -1, 2], np.float32)
    x[..., 2] = 0
    shifted = x.copy()
    shifted[..., 2] = 1000  # 2000 is added to every logit
    np.testing.assert_allclose(
        ops.gc_pool(shifted, w, isa=isa)[:, :2], ops.gc_pool(x, w, isa=isa)[:, :2], atol=1e-3
    )


@pytest.mark.parametrize("isa", TIERS)
def test_gc_pool_with_nan_is_nan(isa: str) -> None:
    x = np.zeros((2, 5, 4, 6), np.float32)
    x[1, 3, 2, 5] = np.nan
    context = ops.gc_pool(x, np.ones(6, np.float32), isa=isa)
    assert np.isfinite(context[0]).all()
    assert np.isnan(context[1]).all()


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("channels", [64, 128, 256, 512, 33])
def test_gc_transform(channels: int, isa: str) -> None:
    generator = np.random.default_rng(5)
    hidden = _hidden(channels)
    context = _random(generator, 3, channels)
    w1 = _random(generator, hidden, channels, scale=channels**-0.5)
    w2 = _random(generator, channels, hidden, scale=hidden**-0.5)
    b1, norm_w, norm_b = _random(generator, 3, hidden)
    b2 = _random(generator, channels)
    value = _double(context) @ _double(w1).T + _double(b1)
    value = torch.nn.functional.layer_norm(value, [hidden], _double(norm_w), _double(norm_b), 1e-5)
    expected = torch.relu(value) @ _double(w2).T + _double(b2)
    actual = ops.gc_transform(context, w1, b1, norm_w, norm_b, w2, b2, epsilon=1e-5, isa=isa)
    assert _relative_error(actual, expected) <= 2e-6


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_gc_transform_of_equal_hidden_values(epsilon: float, isa: str) -> None:
    """The variance is 0: what remains is the norm's bias, and epsilon keeps the quotient finite."""
    w1 = np.full((16, 4), 0.25, np.float32)
    constant = np.full(16, 0.5, np.float32)
    norm_b = np.arange(-8, 8, dtype=np.float32)
    w2 = np.eye(16, dtype=np.float32)
    zeros = np.zeros(16, np.float32)
    ones = np.ones((1, 4), np.float32)
    actual = ops.gc_transform(ones, w1, constant, constant, norm_b, w2, zeros, epsilon, isa=isa)
    np.testing.assert_array_equal(actual[0], np.maximum(norm_b, 0))


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("shape", NETWORK_SHAPES)
def test_channel_mean_at_network_shapes(shape: tuple[int, int, int], isa: str) -> None:
    generator = np.random.default_rng(6)
    x = np.maximum(_random(generator, 2, *shape), 0)
    expected = _double(x).mean(dim=(1, 2))
    assert _relative_error(ops.channel_mean(x, isa=isa), expected) <= 2e-6


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_channel_mean_at_other_shapes(shape: tuple[int, int, int], isa: str) -> None:
    generator = np.random.default_rng(7)
    x = _random(generator, 3, *shape)
    expected = x.mean(axis=(1, 2), dtype=np.float64)
    tolerance = shape[0] * shape[1] * EPSILON * np.abs(x).mean(axis=(1, 2), dtype=np.float64)
    assert (np.abs(ops.channel_mean(x, isa=isa) - expected) <= tolerance + EPSILON).all()


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("channels", [64, 128, 256, 512, 33])
def test_se_gate(channels: int, isa: str) -> None:
    generator = np.random.default_rng(8)
    hidden = _hidden(channels)
    mean = _random(generator, 3, channels)
    w1 = _random(generator, hidden, channels, scale=channels**-0.5)
    w2 = _random(generator, channels, hidden, scale=4 * hidden**-0.5)
    value = torch.relu(_double(mean) @ _double(w1).T) @ _double(w2).T
    assert _relative_error(ops.se_gate(mean, w1, w2, isa=isa), torch.sigmoid(value)) <= 2e-6


@pytest.mark.parametrize("isa", TIERS)
def test_se_gate_saturates(isa: str) -> None:
    one = np.ones((1, 1), np.float32)
    w2 = np.array([[1e4], [-1e4], [0]], np.float32)
    gate = ops.se_gate(np.ones((1, 3), np.float32), np.ones((1, 3), np.float32), w2, isa=isa)
    np.testing.assert_array_equal(gate, [[1, 0, 0.5]])
    assert np.isnan(ops.se_gate(one * np.nan, one, one, isa=isa)).all()
