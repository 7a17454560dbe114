"""Independent NumPy reference of a network in 8-bit integers, exact to the bit but for attention.

Written from docs/model-file.md; it shares no code with ``lpn_core``. Maps are (h, w, c) uint8 of
one image; sums are int64, what follows them float32 with every fused multiply-add rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_nodes import REFERENCES

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """A byte q of a map is the number scale * (q - zero_point)."""

    scale: float
    zero_point: int = 0


@dataclass(frozen=True)
class Pixels:
    """Input channel c is p[channel_map[c]] * scale[c] + shift[c] of a pixel p."""

    channel_map: tuple[int, ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]


def fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c, rounded once: the product is exact in float64, the sum rounded to odd."""
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = np.broadcast_to(c, product.shape).astype(np.float64)
    total = product + addend
    back = total - product
    lost = (product - (total - back)) + (addend - back)
    bits = total.view(np.int64)
    even = (bits & 1) == 0
    # A neighbour with an odd last bit stands for everything between it and the even ones.
    away = np.where((lost > 0) == (total > 0), 1, -1)
    odd = np.where((lost != 0) & even & (total != 0), bits + away, bits)
    return odd.view(np.float64).astype(np.float32)


def quantize(weights: Doubles, scales: Floats) -> Integers:
    """The nearest integers of (O, ...) weights, ties to even, within 127."""
    scale = scales.astype(np.float64).reshape(-1, *[1] * (weights.ndim - 1))
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int64)


def _windows(x: Integers, kh: int, kw: int, stride: int, padding: int, fill: int) -> Integers:
    """(h, w, c, kh, kw): what each output pixel sees."""
    border = ((padding, padding), (padding, padding), (0, 0))
    padded = np.pad(x, border, constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(0, 1))
    return np.asarray(seen[::stride, ::stride])


@dataclass(frozen=True)
class Sums:
    """A convolution's result before its epilogue: unit * sums + constant, in the maps' numbers."""

    sums: Integers  # (h, w, O)
    unit: Doubles  # (O,): scale of the input times that of the weights
    constant: Doubles  # (h, w, O) or (O,)
    activation: str
    # The same in real numbers, of the weights that the integers stand for: what an attention block
    # attends to.
    attended: Doubles | None = None


def _conv(node: Any, x: Bytes, weights: Mapping[str, Any], scale: Scale) -> Sums:
    a = node.attributes
    w = weights["weight"].astype(np.float64)
    q = quantize(w, weights["weight_scale"])
    seen = _windows(
        x.astype(np.int64), w.shape[2], w.shape[3], a["stride"], a["padding"], scale.zero_point
    )
    equation = "yxcij,ocij->yxo" if a["groups"] == 1 else "yxoij,ocij->yxo"
    unit = np.float64(np.float32(scale.scale)) * weights["weight_scale"].astype(np.float64)
    constant = weights.get("bias", np.zeros(len(w), "f4")).astype(np.float64)
    sums = np.einsum(equation, seen, q)
    constant = constant - scale.zero_point * q.sum(axis=(1, 2, 3)) * unit
    real = np.float64(np.float32(scale.scale)) * (seen - scale.zero_point)
    rounded = q.astype(np.float32) * weights["weight_scale"][:, None, None, None]
    attended = np.einsum(equation, real, rounded.astype(np.float64)) + weights.get("bias", 0.0)
    return Sums(sums, unit, constant, a["activation"], attended)


def _conv_of_pixels(node: Any, x: Bytes, weights: Mapping[str, Any], pixels: Pixels) -> Sums:
    a = node.attributes
    w = weights["weight"].astype(np.float64)
    folded = np.zeros_like(w)
    for c, p in enumerate(pixels.channel_map):
        folded[:, p] += w[:, c] * pixels.scale[c]
    q = quantize(folded, weights["weight_scale"])
    kh, kw = w.shape[2:]
    seen = _windows(x.astype(np.int64), kh, kw, a["stride"], a["padding"], 0)
    inside = _windows(np.ones((*x.shape[:2], 1), np.int64), kh, kw, a["stride"], a["padding"], 0)
    shifts = np.einsum("ocij,c->oij", w, np.asarray(pixels.shift))
    constant = np.einsum("yxij,oij->yxo", inside[:, :, 0], shifts)
    constant = constant + weights.get("bias", np.zeros(len(w), "f4")).astype(np.float64)
    unit = weights["weight_scale"].astype(np.float64)
    return Sums(np.einsum("yxcij,ocij->yxo", seen, q), unit, constant, a["activation"])


def _conv_transpose(node: Any, x: Bytes, weights: Mapping[str, Any], scale: Scale) -> Sums:
    a = node.attributes
    w = weights["weight"].astype(np.float64)
    (h, width, c), (_, per_group, kh, kw) = x.shape, w.shape
    groups, s, p = a["groups"], a["stride"], a["padding"]
    scales = weights["weight_scale"]
    full = np.zeros(((h - 1) * s + kh, (width - 1) * s + kw, groups * per_group), np.int64)
    for channel in range(c):
        begin = channel // (c // groups) * per_group
        q = quantize(w[channel], scales[begin : begin + per_group])
        for i, j in np.ndindex(kh, kw):
            target = full[i : i + h * s : s, j : j + width * s : s, begin : begin + per_group]
            target += x[: len(target), :, channel, None].astype(np.int64) * q[:, i, j]
    assert scale.zero_point == 0, "a border sees fewer taps"
    unit = np.float64(np.float32(scale.scale)) * scales.astype(np.float64)
    constant = weights.get("bias", np.zeros(groups * per_group, "f4")).astype(np.float64)
    sums = full[p : len(full) - p, p : full.shape[1] - p]
    return Sums(sums, unit, constant, a["activation"])


def _attend(node: Any, sums: Sums, weights: Mapping[str, Any]) -> Sums:
    """An attention block on a convolution's sums, in float64: a constant more, or a gate."""
    assert sums.attended is not None
    x = sums.attended
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    attended = REFERENCES[node.kind]([x], node.attributes, wide)
    if node.kind == "gc_block":
        return replace(sums, constant=sums.constant + (attended - x)[0, 0])
    at = np.abs(x).reshape(-1, x.shape[2]).argmax(axis=0)
    channels = np.arange(x.shape[2])
    gate = attended.reshape(-1, x.shape[2])[at, channels] / x.reshape(-1, x.shape[2])[at, channels]
    return replace(sums, unit=sums.unit * gate, constant=sums.constant * gate)


def _finish(
    sums: Sums, output: Scale | None, residual: tuple[Bytes, Scale] | None, activation: str
) -> Any:
    """The bytes of a result, or without an output's scale its numbers."""
    unit = 1.0 if output is None else np.float64(np.float32(output.scale))
    zero = 0 if output is None else output.zero_point
    constant = sums.constant / unit + zero
    if residual is not None:
        ratio = np.float64(np.float32(residual[1].scale)) / unit
        constant = sums.constant / unit + (zero - residual[1].zero_point * ratio)
    v = fma(
        sums.sums.astype(np.float32),
        (sums.unit / unit).astype(np.float32),
        constant.astype(np.float32),
    )
    if residual is not None:
        v = fma(residual[0].astype(np.float32), np.float32([ratio]), v)
    if output is None:
        return np.clip(
            v, 0 if activation != "none" else -np.inf, 6 if activation == "relu6" else np.inf
        )
    most = min(255.0, np.rint(6 / unit) + zero) if activation == "relu6" else 255.0
    least = zero if activation != "none" else 0
    return np.rint(np.clip(v, np.float32(least), np.float32(most))).astype(np.uint8)


def run(
    graph: Any,
    weights: Mapping[str, NDArray[Any]],
    scales: Mapping[str, Scale],
    pixels: Pixels,
    image: Bytes,
) -> Floats:
    """The network's first output for one (h, w, 3) image of RGB bytes.

    A result without a scale is either the output, or a convolution's that one "add" alone reads:
    its sums then go into that one's result. Attention is computed in float64.
    """
    values: dict[str, Any] = {graph.input_name: image}
    for node in graph.nodes:
        own = {name: weights[f"{node.name}.{name}"] for name in node.weights}
        inputs = [values[name] for name in node.inputs]
        if node.kind == "max_pool2d":
            a = node.attributes
            seen = _windows(
                inputs[0].astype(np.int64), a["kernel"], a["kernel"], a["stride"], a["padding"], -1
            )
            values[node.name] = seen.max(axis=(3, 4)).astype(np.uint8)
            continue
        if node.kind == "add":
            part = next(value for value in inputs if isinstance(value, Sums))
            other = next(name for name in node.inputs if not isinstance(values[name], Sums))
            values[node.name] = _finish(
                part,
                scales[node.name],
                (values[other], scales[other]),
                node.attributes["activation"],
            )
            continue
        if node.kind in ("gc_block", "se_block"):
            sums = _attend(node, inputs[0], own)
        elif node.inputs[0] == graph.input_name:
            sums = _conv_of_pixels(node, inputs[0], own, pixels)
        elif node.kind == "conv2d":
            sums = _conv(node, inputs[0], own, scales[node.inputs[0]])
        else:
            sums = _conv_transpose(node, inputs[0], own, scales[node.inputs[0]])
        done = node.name in scales or node.name in graph.outputs
        values[node.name] = (
            _finish(sums, scales.get(node.name), None, sums.activation) if done else sums
        )
    return values[graph.outputs[0]]
