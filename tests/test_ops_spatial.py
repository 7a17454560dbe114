"""Spatial operators through lpn_core.ops against PyTorch in float64, on every tier."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from lpn_core import _core, ops
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

TIERS = _core.supported_isas()
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One convolution; sizes and kernels are (height, width), channels (in, out)."""

    size: tuple[int, int]
    channels: tuple[int, int]
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    groups: int = 1
    batch: int = 1
    activation: str = "none"


def _draw(shape: tuple[int, ...], seed: int) -> Float32:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _torch(
    function: Callable[..., torch.Tensor],
    x: NDArray[np.floating],
    *weights: Float32,
    **options: int,
) -> Float64:
    image = torch.from_numpy(x).double().permute(0, 3, 1, 2)
    y = function(image, *(torch.from_numpy(weight).double() for weight in weights), **options)
    result: Float64 = y.permute(0, 2, 3, 1).numpy()
    return result


def _activate(y: Float64, activation: str) -> Float64:
    if activation == "none":
        return y
    return np.clip(y, 0, 6 if activation == "relu6" else None)


def _conv(case: Case, x: Float32, w: Float32, b: Float32) -> Float64:
    options = {"stride": case.stride, "padding": case.padding, "groups": case.groups}
    return _torch(torch.nn.functional.conv2d, x, w, b, **options)


def _deconv(case: Case, x: Float32, w: Float32, b: Float32) -> Float64:
    options = {"stride": case.stride, "padding": case.padding, "groups": case.groups}
    return _torch(torch.nn.functional.conv_transpose2d, x, w, b, **options)


def _depthwise(case: Case, x: Float32, w: Float32, b: Float32) -> Float64:
    """By unfolding: PyTorch's own float64 depthwise convolution takes seconds at these shapes."""

    def unfold(image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        channels = weight.shape[0]
        windows = torch.nn.functional.unfold(
            image, case.kernel, padding=case.padding, stride=case.stride
        ).unflatten(1, (channels, -1))
        sums = torch.einsum("nckp,ck->ncp", windows, weight.reshape(channels, -1))
        width = (image.shape[3] + 2 * case.padding - case.kernel[1]) // case.stride + 1
        return (sums + bias[:, None]).unflatten(2, (-1, width))

    return _torch(unfold, x, w, b)


@dataclass(frozen=True)
class Expected:
    x: Float32
    w: Float32
    b: Float32
    exact: Float64
    magnitude: Float64  # the same sum of absolute values, which scales the rounding error


@functools.cache  # the tiers share it
def _expected(
    reference: Callable[[Case, Float32, Float32, Float32], Float64],
    case: Case,
    w_shape: tuple[int, ...],
) -> Expected:
    x, w = _draw((case.batch, *case.size, case.channels[0]), 1), _draw(w_shape, 2)
    b = _draw((case.channels[1],), 3)
    exact = reference(case, x, w, b)
    return Expected(x, w, b, exact, reference(case, np.abs(x), np.abs(w), np.abs(b)))


def _expected_conv(case: Case) -> Expected:
    return _expected(_conv, case, (case.channels[1], case.channels[0], *case.kernel))


def _expected_depthwise(case: Case) -> Expected:
    return _expected(_depthwise, case, (case.channels[0], 1, *case.kernel))


def _expected_deconv(case: Case) -> Expected:
    outputs = case.channels[1] // case.groups
    return _expected(_deconv, case, (case.channels[0], outputs, *case.kernel))


def _relative_error(ours: Float32, exact: Float64) -> float:
    return float(np.abs(ours - exact).max() / np.abs(exact).max())


def _bound(magnitude: Float64, terms: int) -> Float64:
    """Rounding error of a float32 sum of ``terms`` products and its epilogue."""
    bound: Float64 = (terms + 4) * magnitude * 2.0**-24
    return bound


@pytest.mark.parametrize("operator", ["conv", "depthwise", "group_deconv", "max_pool"])
def test_every_vector_width_has_its_kernel(operator: str) -> None:
    for tier in {"scalar", "avx2", "avx512"}.intersection(TIERS):
        assert (f"{operator}_f32_{tier}", tier) in _core.kernels()[operator]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "case",
    [
        Case((256, 192), (3, 64), (7, 7), 2, 3),
        Case((64, 48), (64, 128), (1, 1), 2),
        Case((32, 24), (128, 256), (1, 1), 2),
    ],
    ids=str,
)
def test_conv_at_network_shapes(case: Case, tier: str) -> None:
    e = _expected_conv(case)
    ours = ops.conv2d(e.x, e.w, e.b, stride=case.stride, padding=case.padding, isa=tier)
    assert _relative_error(ours, e.exact) <= 2e-6


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 1), (1, 1), (3, 3), 1, 1),
        Case((7, 9), (3, 5), (3, 3), 2, 1, batch=2, activation="relu"),
        Case((8, 13), (5, 17), (5, 3), 1, 2, batch=3, activation="relu6"),
        Case((9, 8), (17, 33), (3, 3), 3, 0, activation="relu"),
        Case((6, 20), (4, 70), (2, 2), 2, 0),
        Case((5, 6), (33, 66), (1, 1), 1, 0),
        Case((10, 7), (2, 130), (7, 7), 2, 3),
    ],
    ids=str,
)
def test_conv(case: Case, tier: str) -> None:
    e = _expected_conv(case)
    residual = _draw(e.exact.shape, 4)
    ours = ops.conv2d(
        e.x, e.w, e.b, residual, case.stride, case.padding, activation=case.activation, isa=tier
    )
    error = np.abs(ours - _activate(e.exact + residual, case.activation))
    assert (error <= _bound(e.magnitude + np.abs(residual), e.w[0].size)).all()


@pytest.mark.parametrize("tier", TIERS)
def test_conv_without_bias(tier: str) -> None:
    case = Case((7, 9), (3, 5), (3, 3), 2, 1)
    e = _expected_conv(case)
    ours = ops.conv2d(e.x, e.w, stride=case.stride, padding=case.padding, isa=tier)
    assert (np.abs(ours - (e.exact - e.b)) <= _bound(e.magnitude, e.w[0].size)).all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "case",
    [
        Case((64, 48), (64, 64), (3, 3), 1, 1),
        Case((64, 48), (128, 128), (3, 3), 2, 1),
        Case((32, 24), (128, 128), (3, 3), 1, 1),
        Case((32, 24), (256, 256), (3, 3), 2, 1),
        Case((16, 12), (256, 256), (3, 3), 1, 1),
        Case((16, 12), (512, 512), (3, 3), 1, 1),
    ],
    ids=str,
)
def test_depthwise_at_network_shapes(case: Case, tier: str) -> None:
    e = _expected_depthwise(case)
    ours = ops.depthwise_conv2d(e.x, e.w, e.b, case.stride, case.padding, isa=tier)
    assert _relative_error(ours, e.exact) <= 2e-6


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
@pytest.mark.parametrize("channels", [1, 3, 5, 17, 33])
def test_depthwise(channels: int, kernel: int, stride: int, tier: str) -> None:
    activation = ["none", "relu", "relu6"][channels % 3]
    for size in ((kernel, kernel), (9, 14), (1, 8)):
        case = Case(size, (channels,) * 2, (kernel,) * 2, stride, kernel // 2, batch=2)
        e = _expected_depthwise(case)
        ours = ops.depthwise_conv2d(e.x, e.w, e.b, stride, kernel // 2, activation, isa=tier)
        error = np.abs(ours - _activate(e.exact, activation))
        assert (error <= _bound(e.magnitude, kernel * kernel)).all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "case",
    [
        Case((16, 12), (512, 256), (4, 4), 2, 1, groups=256),
        Case((32, 24), (256, 256), (4, 4), 2, 1, groups=256),
    ],
    ids=str,
)
def test_group_deconv_at_network_shapes(case: Case, tier: str) -> None:
    e = _expected_deconv(case)
    ours = ops.group_deconv2d(e.x, e.w, e.b, case.stride, case.padding, case.groups, isa=tier)
    assert _relative_error(ours, e.exact) <= 2e-6


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1), (4, 1), (4, 0), (5, 2)])
@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"),
    [
        (1, 1, 1),
        (5, 3, 1),
        (8, 70, 1),
        (6, 4, 2),
        (34, 17, 17),
        (33, 33, 33),
        (51, 17, 17),
        (9, 6, 3),
    ],
)
def test_group_deconv(
    inputs: int, outputs: int, groups: int, kernel: int, padding: int, tier: str
) -> None:
    activation = ["none", "relu", "relu6"][inputs % 3]
    for size, stride in (((1, 1), 2), ((4, 7), 2), ((3, 5), 1), ((4, 2), 3)):
        if any((n - 1) * stride - 2 * padding + kernel < 1 for n in size):
            continue
        case = Case(size, (inputs, outputs), (kernel,) * 2, stride, padding, groups)
        e = _expected_deconv(case)
        ours = ops.group_deconv2d(e.x, e.w, e.b, stride, padding, groups, activation, isa=tier)
        error = np.abs(ours - _activate(e.exact, activation))
        assert (error <= _bound(e.magnitude, kernel * kernel * inputs // groups)).all()


@pytest.mark.parametrize("tier", TIERS)
def test_max_pool_is_exact(tier: str) -> None:
    for size, channels, kernel, stride, padding in (
        ((128, 96), 64, 3, 2, 1),
        ((7, 9), 5, 3, 2, 1),
        ((8, 6), 17, 2, 2, 0),
        ((5, 6), 33, 5, 1, 2),
        ((1, 1), 1, 3, 2, 1),
    ):
        x = _draw((2, *size, channels), 1)
        exact = _torch(
            torch.nn.functional.max_pool2d, x, kernel_size=kernel, stride=stride, padding=padding
        )
        np.testing.assert_array_equal(ops.max_pool2d(x, kernel, stride, padding, isa=tier), exact)


@pytest.mark.parametrize("tier", TIERS)
def test_max_pool_propagates_nan(tier: str) -> None:
    x = _draw((1, 6, 6, 19), 1)
    x[0, 2, 3, 4] = np.nan
    exact = _torch(torch.nn.functional.max_pool2d, x, kernel_size=3, stride=2, padding=1)
    assert np.isnan(exact).any()
    np.testing.assert_array_equal(ops.max_pool2d(x, 3, 2, 1, isa=tier), exact)


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(TIERS), reason="needs both x86 tiers")
def test_avx2_and_avx512_give_the_same_bits() -> None:
    x, w, b = _draw((2, 9, 13, 34), 1), _draw((21, 34, 3, 3), 2), _draw((21,), 3)
    deconv = _draw((34, 1, 4, 4), 5)
    calls: list[Callable[[str], Float32]] = [
        lambda isa: ops.conv2d(x, w, b, stride=2, padding=1, isa=isa),
        lambda isa: ops.group_deconv2d(x, deconv, padding=1, groups=17, isa=isa),
        lambda isa: ops.group_deconv2d(x, _draw((34, 20, 4, 4), 6), padding=1, isa=isa),
        lambda isa: ops.max_pool2d(x, 3, 2, 1, isa=isa),
    ]
    for call in calls:
        assert call("avx2").tobytes() == call("avx512").tobytes()


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(TIERS), reason="needs both x86 tiers")
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 4, 5, 7])
def test_depthwise_gives_the_same_bits_on_avx2_and_avx512(kernel: int, stride: int) -> None:
    x, w, b = _draw((2, 9, 13, 58), 1), _draw((58, 1, kernel, kernel), 2), _draw((58,), 3)
    avx2, avx512 = (
        ops.depthwise_conv2d(x, w, b, stride, kernel // 2, "relu", isa=tier)
        for tier in ("avx2", "avx512")
    )
    assert avx2.tobytes() == avx512.tobytes()
