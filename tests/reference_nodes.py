"""Independent NumPy references of every kind of node, in float64: what docs/model-file.md says.

They share no code with ``lpn_core``. Maps are (h, w, c), of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Attributes = Mapping[str, Any]
Weights = Mapping[str, Array]
Reference = Callable[[Sequence[Array], Attributes, Weights], Array]

CEILINGS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}


def _activate(x: Array, name: str) -> Array:
    return np.clip(x, *CEILINGS[name])


def _windows(x: Array, kh: int, kw: int, a: Attributes, fill: float) -> Array:
    """(h, w, c, kh, kw): what each output pixel sees."""
    p, s = a["padding"], a["stride"]
    padded = np.pad(x, ((p, p), (p, p), (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(0, 1))
    return np.asarray(seen[::s, ::s])


def add(inputs: Sequence[Array], a: Attributes, _weights: Weights) -> Array:
    return _activate(inputs[0] + inputs[1], a["activation"])


def concat(inputs: Sequence[Array], _attributes: Attributes, _weights: Weights) -> Array:
    return np.concatenate(inputs, axis=2)


def conv2d(inputs: Sequence[Array], a: Attributes, weights: Weights) -> Array:
    w = weights["weight"]
    seen = _windows(inputs[0], w.shape[2], w.shape[3], a, 0.0)
    equation = "yxcij,ocij->yxo" if a["groups"] == 1 else "yxoij,ocij->yxo"
    return _activate(np.einsum(equation, seen, w) + weights.get("bias", 0.0), a["activation"])


def conv_transpose2d(inputs: Sequence[Array], a: Attributes, weights: Weights) -> Array:
    x, w = inputs[0], weights["weight"]
    (h, width, c), (_, per_group, kh, kw) = x.shape, w.shape
    groups, s, p = a["groups"], a["stride"], a["padding"]
    full = np.zeros(((h - 1) * s + kh, (width - 1) * s + kw, groups * per_group))
    for channel in range(c):
        begin = channel // (c // groups) * per_group
        for i, j in np.ndindex(kh, kw):
            target = full[i : i + h * s : s, j : j + width * s : s, begin : begin + per_group]
            target += x[: len(target), :, channel, None] * w[channel, :, i, j]
    cropped = full[p : len(full) - p, p : full.shape[1] - p]
    return _activate(cropped + weights.get("bias", 0.0), a["activation"])


def gc_block(inputs: Sequence[Array], a: Attributes, weights: Weights) -> Array:
    x = inputs[0]
    logits = x @ weights["mask_weight"] + weights["mask_bias"]
    shares = np.exp(logits - logits.max())
    context = np.einsum("yx,yxc->c", shares / shares.sum(), x)
    hidden = weights["w1"] @ context + weights["b1"]
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + a["epsilon"])
    hidden = np.maximum(hidden * weights["norm_weight"] + weights["norm_bias"], 0)
    return x + weights["w2"] @ hidden + weights["b2"]


def global_avg_pool(inputs: Sequence[Array], _attributes: Attributes, _weights: Weights) -> Array:
    return np.asarray(inputs[0].mean(axis=(0, 1), keepdims=True))


def max_pool2d(inputs: Sequence[Array], a: Attributes, _weights: Weights) -> Array:
    seen = _windows(inputs[0], a["kernel"], a["kernel"], a, -np.inf)
    return np.asarray(seen.max(axis=(3, 4)))


def se_block(inputs: Sequence[Array], _attributes: Attributes, weights: Weights) -> Array:
    hidden = np.maximum(weights["w1"] @ inputs[0].mean(axis=(0, 1)), 0)
    return inputs[0] / (1 + np.exp(-(weights["w2"] @ hidden)))


def upsample_nearest(inputs: Sequence[Array], a: Attributes, _weights: Weights) -> Array:
    return inputs[0].repeat(a["factor"], axis=0).repeat(a["factor"], axis=1)


REFERENCES: dict[str, Reference] = {
    "add": add,
    "concat": concat,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "gc_block": gc_block,
    "global_avg_pool": global_avg_pool,
    "max_pool2d": max_pool2d,
    "se_block": se_block,
    "upsample_nearest": upsample_nearest,
}
