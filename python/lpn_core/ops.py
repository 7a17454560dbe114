"""Every kernel as a function of arrays.

Arrays are C-contiguous float32 in NHWC, weights in PyTorch's layouts, as NumPy arrays or anything
that exports DLPack on the CPU; another dtype is a TypeError, another layout or shapes that do not
fit together a ValueError. ``isa`` is one of ``lpn_core.supported_isas()``, "auto" or None for the
best one; ``activation`` is "none", "relu" or "relu6". The decoders, ``lpn_core.argmax`` and
``lpn_core.soft_argmax``, are the other two kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpn_core import _core
from lpn_core._checks import (
    as_array,
    check_array,
    check_float32,
    check_int,
    check_text,
    check_three,
    isa_name,
)

if TYPE_CHECKING:
    from lpn_core._types import Activation, Array

__all__ = [
    "channel_mean",
    "conv2d",
    "crop_affine",
    "depthwise_conv2d",
    "gc_pool",
    "gc_transform",
    "group_deconv2d",
    "max_pool2d",
    "pointwise_conv2d",
    "se_gate",
]


def _float(value: object, name: str, shape: str) -> NDArray[np.float32]:
    return check_array(value, name, np.float32, shape)


def _optional(value: object | None, name: str, shape: str) -> NDArray[np.float32] | None:
    return None if value is None else _float(value, name, shape)


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    residual: Array | None = None,
    stride: int = 1,
    padding: int = 0,
    activation: Activation = "none",
    isa: str | None = "auto",
) -> NDArray[np.float32]:
    """Dense convolution: act(x * w + b + residual).

    Args:
        x: (N, H, W, C).
        w: (O, C, kh, kw).
        b: (O,).
        residual: of the result's shape.

    Returns:
        (N, h, w, O), h = (H + 2 padding - kh) // stride + 1.
    """
    return _core.conv2d(
        _float(x, "x", "(N, H, W, C)"),
        _float(w, "w", "(O, C, kh, kw)"),
        _optional(b, "b", "(O,)"),
        _optional(residual, "residual", "(N, h, w, O)"),
        check_int(stride, "stride"),
        check_int(padding, "padding"),
        check_text(activation, "activation"),
        isa_name(isa),
    )


def pointwise_conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    scale: Array | None = None,
    residual: Array | None = None,
    activation: Activation = "none",
    isa: str | None = "auto",
) -> NDArray[np.float32]:
    """1x1 convolution: act((x w^T + b) * scale + residual).

    Args:
        x: (N, H, W, C).
        w: (O, C).
        b: (O,).
        scale: (O,).
        residual: (N, H, W, O).
    """
    return _core.pointwise_conv2d(
        _float(x, "x", "(N, H, W, C)"),
        _float(w, "w", "(O, C)"),
        _optional(b, "b", "(O,)"),
        _optional(scale, "scale", "(O,)"),
        _optional(residual, "residual", "(N, H, W, O)"),
        check_text(activation, "activation"),
        isa_name(isa),
    )


def depthwise_conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: int = 1,
    padding: int = 0,
    activation: Activation = "none",
    isa: str | None = "auto",
) -> NDArray[np.float32]:
    """Depthwise convolution: x (N, H, W, C), w (C, 1, kh, kw), b (C,) -> (N, h, w, C)."""
    return _core.depthwise_conv2d(
        _float(x, "x", "(N, H, W, C)"),
        _float(w, "w", "(C, 1, kh, kw)"),
        _optional(b, "b", "(C,)"),
        check_int(stride, "stride"),
        check_int(padding, "padding"),
        check_text(activation, "activation"),
        isa_name(isa),
    )


def group_deconv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: int = 2,
    padding: int = 0,
    groups: int = 1,
    activation: Activation = "none",
    isa: str | None = "auto",
) -> NDArray[np.float32]:
    """Grouped transposed convolution.

    Args:
        x: (N, H, W, C).
        w: (C, O / groups, kh, kw).
        b: (O,).

    Returns:
        (N, h, w, O), h = (H - 1) stride - 2 padding + kh.
    """
    return _core.group_deconv2d(
        _float(x, "x", "(N, H, W, C)"),
        _float(w, "w", "(C, O / groups, kh, kw)"),
        _optional(b, "b", "(O,)"),
        check_int(stride, "stride"),
        check_int(padding, "padding"),
        check_int(groups, "groups"),
        check_text(activation, "activation"),
        isa_name(isa),
    )


def max_pool2d(
    x: Array, kernel: int, stride: int, padding: int = 0, isa: str | None = "auto"
) -> NDArray[np.float32]:
    """Maximum over kernel x kernel windows: (N, H, W, C) -> (N, h, w, C); padding never wins."""
    return _core.max_pool2d(
        _float(x, "x", "(N, H, W, C)"),
        check_int(kernel, "kernel"),
        check_int(stride, "stride"),
        check_int(padding, "padding"),
        isa_name(isa),
    )


def gc_pool(x: Array, w: Array, isa: str | None = "auto") -> NDArray[np.float32]:
    """Mean over positions weighted by softmax(x . w): x (N, H, W, C), w (C,) -> (N, C)."""
    return _core.gc_pool(_float(x, "x", "(N, H, W, C)"), _float(w, "w", "(C,)"), isa_name(isa))


def gc_transform(
    context: Array,
    w1: Array,
    b1: Array,
    norm_w: Array,
    norm_b: Array,
    w2: Array,
    b2: Array,
    epsilon: float = 1e-5,
    isa: str | None = "auto",
) -> NDArray[np.float32]:
    """w2 relu(layer_norm(w1 context + b1)) + b2.

    Args:
        context: (N, C).
        w1: (h, C).
        b1: (h,), as are ``norm_w`` and ``norm_b``.
        w2: (O, h).
        b2: (O,).

    Returns:
        (N, O).
    """
    return _core.gc_transform(
        _float(context, "context", "(N, C)"),
        _float(w1, "w1", "(h, C)"),
        _float(b1, "b1", "(h,)"),
        _float(norm_w, "norm_w", "(h,)"),
        _float(norm_b, "norm_b", "(h,)"),
        _float(w2, "w2", "(O, h)"),
        _float(b2, "b2", "(O,)"),
        check_float32(epsilon, "epsilon"),
        isa_name(isa),
    )


def channel_mean(x: Array, isa: str | None = "auto") -> NDArray[np.float32]:
    """Mean over positions: x (N, H, W, C) -> (N, C)."""
    return _core.channel_mean(_float(x, "x", "(N, H, W, C)"), isa_name(isa))


def se_gate(mean: Array, w1: Array, w2: Array, isa: str | None = "auto") -> NDArray[np.float32]:
    """sigmoid(w2 relu(w1 mean)): mean (N, C), w1 (h, C), w2 (C, h) -> (N, C)."""
    return _core.se_gate(
        _float(mean, "mean", "(N, C)"),
        _float(w1, "w1", "(h, C)"),
        _float(w2, "w2", "(C, h)"),
        isa_name(isa),
    )


def crop_affine(
    image: Array,
    matrices: Array,
    height: int,
    width: int,
    channel_map: tuple[int, int, int] = (0, 1, 2),
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    isa: str | None = "auto",
    threads: int = 1,
) -> NDArray[np.float32]:
    """Samples affine crops of an image, bilinearly and with zeros outside it.

    Args:
        image: (H, W, 3) uint8; rows may be padded, the inner two axes are contiguous.
        matrices: (N, 2, 3) float64, destination pixel (x, y, 1) -> source pixel.
        height: of each crop.
        width: of each crop.
        channel_map: crop channel c is image channel ``channel_map[c]``.
        scale: per crop channel; v * scale + shift is returned.
        shift: per crop channel.
        threads: that work on it.

    Returns:
        (N, height, width, 3) float32.
    """
    return _core.crop_affine(
        as_array(image, "image"),
        check_array(matrices, "matrices", np.float64, "(N, 2, 3)"),
        check_int(height, "height"),
        check_int(width, "width"),
        check_three(channel_map, "channel_map", check_int),
        check_three(scale, "scale", check_float32),
        check_three(shift, "shift", check_float32),
        isa_name(isa),
        check_int(threads, "threads"),
    )
