"""NaN goes where it goes in PyTorch, through every operator and network, to the poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import photograph, tiny_model_file
from lpn_core import Model, PoseEstimator, _core, ops
from lpn_core.model_file import DecodeSpec
from networks import Network, compile_state, random_images, random_state, run_torch
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

TIERS = _core.supported_isas()
ACTIVATIONS = ["none", "relu", "relu6"]
NAN = np.float32("nan")

Array = NDArray[np.float32]
Pair = tuple[Array, Any]  # ours and PyTorch's, (N, H, W, C) and (N, C, H, W)


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _map(channels: int) -> Array:
    """A map with a NaN in a corner, on an edge, inside, and one that fills a channel."""
    x = _random(2, 9, 13, channels)
    x[0, 0, 0, 0] = x[0, 8, 6, channels - 1] = x[0, 4, 5, channels // 2] = NAN
    x[1, :, :, 1] = NAN
    return x


def _torch(x: Array) -> Any:
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def _conv(activation: str, isa: str, channels: int, **options: int) -> Pair:
    x, w, b = _map(channels), _random(17, channels, 3, 3, seed=1), _random(17, seed=2)
    ours = ops.conv2d(x, w, b, activation=activation, isa=isa, **options)
    theirs = torch.nn.functional.conv2d(_torch(x), torch.tensor(w), torch.tensor(b), **options)
    return ours, theirs


def _pointwise(activation: str, isa: str, outputs: int) -> Pair:
    x, w, residual = _map(5), _random(outputs, 5, seed=1), _random(2, 9, 13, outputs, seed=2)
    residual[0, 2, 2] = NAN
    ours = ops.pointwise_conv2d(x, w, residual=residual, activation=activation, isa=isa)
    theirs = torch.nn.functional.conv2d(_torch(x), torch.tensor(w)[..., None, None])
    return ours, theirs + _torch(residual)


def _depthwise(activation: str, isa: str, kernel: int, **options: int) -> Pair:
    x, w = _map(21), _random(21, 1, kernel, kernel, seed=1)
    ours = ops.depthwise_conv2d(x, w, activation=activation, isa=isa, **options)
    theirs = torch.nn.functional.conv2d(_torch(x), torch.tensor(w), groups=21, **options)
    return ours, theirs


def _deconv(activation: str, isa: str, groups: int, outputs: int) -> Pair:
    x, w = _map(34), _random(34, outputs, 4, 4, seed=1)
    options = {"stride": 2, "padding": 1, "groups": groups}
    ours = ops.group_deconv2d(x, w, activation=activation, isa=isa, **options)
    theirs = torch.nn.functional.conv_transpose2d(_torch(x), torch.tensor(w), **options)
    return ours, theirs


CONVOLUTIONS: dict[str, Callable[[str, str], Pair]] = {
    "conv": lambda activation, isa: _conv(activation, isa, 5, padding=1),
    "conv of stride 2": lambda activation, isa: _conv(activation, isa, 3, stride=2, padding=2),
    "pointwise": lambda activation, isa: _pointwise(activation, isa, 70),
    "pointwise with a lone column": lambda activation, isa: _pointwise(activation, isa, 17),
    "depthwise": lambda activation, isa: _depthwise(activation, isa, 3, padding=1),
    "depthwise of stride 2": lambda activation, isa: _depthwise(activation, isa, 5, stride=2),
    "depthwise of any kernel": lambda activation, isa: _depthwise(activation, isa, 4, padding=2),
    "deconv, one output a group": lambda activation, isa: _deconv(activation, isa, 17, 1),
    "deconv, panels": lambda activation, isa: _deconv(activation, isa, 2, 9),
}


def _activated(x: Any, activation: str) -> Any:
    functions = {"none": lambda y: y, "relu": torch.relu, "relu6": torch.nn.functional.relu6}
    return functions[activation](x)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("operator", CONVOLUTIONS)
def test_convolutions(operator: str, activation: str, isa: str) -> None:
    ours, theirs = CONVOLUTIONS[operator](activation, isa)
    expected = _activated(theirs, activation).permute(0, 2, 3, 1).numpy()
    assert np.isnan(expected).any()
    assert not np.isnan(expected).all()
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    # Of at most 306 terms, each below 16 in magnitude.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=310 * 16 * 2.0**-24 * 2)


@pytest.mark.parametrize("isa", TIERS)
def test_max_pool(isa: str) -> None:
    x = _map(5)
    expected = torch.nn.functional.max_pool2d(_torch(x), 3, 2, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(ops.max_pool2d(x, 3, 2, 1, isa=isa), expected)


@pytest.mark.parametrize("isa", TIERS)
def test_attention(isa: str) -> None:
    """One NaN in an image's map is in every value of its vector, and in no other image's."""
    x = _random(2, 6, 5, 8)
    x[0, 3, 2, 4] = NAN
    context = ops.gc_pool(x, _random(8, seed=1), isa=isa)
    hidden = [_random(4, 8, seed=2), *(_random(4, seed=seed) for seed in (3, 4, 5))]
    vector = ops.gc_transform(context, *hidden, _random(8, 4, seed=6), _random(8), 1e-5, isa=isa)
    mean = ops.channel_mean(x, isa=isa)
    assert np.isnan(mean[0]).tolist() == [channel == 4 for channel in range(8)]
    gate = ops.se_gate(mean, _random(4, 8, seed=7), _random(8, 4, seed=8), isa=isa)
    for values in (context, vector, gate):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("attention", ["gc", "se", "none"])
def test_networks(attention: str, isa: str) -> None:
    network = Network(50, attention)
    state = random_state(network)
    images = random_images(2, 64, 48)
    images[0, 40, 30, 1] = NAN
    theirs = run_torch(network, state, images, "float32")
    ours = compile_state(state, 50, isa=isa).run(images)
    assert np.isnan(theirs[0]).any()
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["soft_argmax", "argmax"])
def test_poses(kind: str, flip: bool, isa: str) -> None:
    """A joint whose heatmap is NaN has NaN coordinates and score 0; the others are found."""
    decode = DecodeSpec(kind=kind, beta=160.0 if kind == "soft_argmax" else None)
    file = tiny_model_file(decode=decode)
    weights = dict(file.weights)
    bias = weights["head.bias"].copy()
    bias[0] = NAN  # the nose, which mirrors onto itself
    model = Model(replace(file, weights={**weights, "head.bias": bias}), isa=isa)
    people = PoseEstimator(model)(photograph(), [[20, 10, 60, 80]], order="rgb", flip=flip)
    assert np.isnan(people.keypoints[0, 0]).all()
    assert people.scores[0, 0] == 0
    assert np.isfinite(people.keypoints[0, 1:]).all()
