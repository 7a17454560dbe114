"""Scales channels by powers of two so that they fill the bytes of their map.

To multiply a channel by 2^k where it is made and divide it where it is read leaves the results in
float32 and bfloat16 as they were, to the bit: ReLU, sums, pooling and attention commute with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.quantization.maps import of_one_width, readers_of
from lpn_core.quantization.ranges import ChannelRanges, Floats

# A channel's factor is at most 2^6: what is smaller hardly counts.
_MOST_BITS = 6
_EXPONENTS = np.arange(9) / 8
# Errors of maps differ from position to position; those of weights are the same everywhere, and
# move joints more (docs/studies.md).
_WEIGHTS_COST = 4.0
_BYTES, _INTEGERS = 255.0, 127.0

Weights = Mapping[str, NDArray[np.float32]]


def channel_factors(
    graph: GraphSpec,
    weights: Weights,
    ranges: Mapping[str, ChannelRanges],
) -> dict[str, Floats]:
    """Powers of two for the channels of tensors, by name; tensors without stay as they are.

    Of each group of tensors that can only be scaled together the factors are (largest range /
    range)^p with the p that makes the expected rounding errors least, of the maps and of the
    weights that read them together: full ranges spare the maps, but widen the weights' rows.

    Args:
        graph: of the network.
        weights: of its nodes.
        ranges: of the maps that are stored; others cost nothing.
    """
    readers = readers_of(graph)
    importance = _importances(graph, weights, ranges)
    factors: dict[str, Floats] = {}
    for group in of_one_width(graph):
        stored = [name for name in group if name in ranges]
        if not stored:
            continue
        widths = [ranges[n].largest / max(float(ranges[n].largest.max()), 1e-30) for n in stored]
        width = np.maximum(np.max(widths, axis=0), 2.0**-_MOST_BITS)
        candidates = [np.exp2(np.rint(-p * np.log2(width))) for p in _EXPONENTS]
        errors = []
        for factor in candidates:
            error = 0.0
            for name in stored:
                step = float((ranges[name].largest * factor).max()) / _BYTES
                error += float((importance[name] * step**2 / 12 / factor**2).sum())
                for reader in readers[name]:
                    if reader.kind in ("conv2d", "conv_transpose2d"):
                        error += _weights_error(reader, weights, ranges[name].square, factor)
            errors.append(error)
        factors.update(dict.fromkeys(group, candidates[int(np.argmin(errors))]))
    return factors


def _importances(
    graph: GraphSpec, weights: Weights, ranges: Mapping[str, ChannelRanges]
) -> dict[str, Floats]:
    """(C,) for each stored map: what a squared error of a channel costs those that read the map.

    That is the squared error of their results, each as a part of the squares that it adds up.
    """
    readers = readers_of(graph)
    found = {}
    for name, entry in ranges.items():
        total = np.zeros(len(entry.square))
        for reader in readers[name]:
            if reader.kind in ("conv2d", "conv_transpose2d"):
                power = (_by_input(reader, weights) ** 2).sum(axis=(1, 2, 3))
            else:
                power = np.ones(len(entry.square))
            total += power / max(float((power * entry.square).sum()), 1e-30)
        found[name] = total
    return found


def _by_input(reader: NodeSpec, weights: Weights) -> Floats:
    """The weight as (C, O, kh, kw); of depthwise ones (C, 1, kh, kw)."""
    weight = weights[f"{reader.name}.weight"].astype(np.float64)
    is_dense = reader.kind == "conv2d" and reader.attributes["groups"] == 1
    return weight.transpose(1, 0, 2, 3) if is_dense else weight


def _weights_error(reader: NodeSpec, weights: Weights, square: Floats, factor: Floats) -> float:
    """The expected squared error of a result by the rounding of weights, as in ``_importances``."""
    if reader.kind == "conv2d" and reader.attributes["groups"] != 1:
        return 0.0  # a row is one channel's: whatever it is scaled by, it fills its integers
    weight = _by_input(reader, weights)
    signal = max(float(((weight**2).sum(axis=(1, 2, 3)) * square).sum()), 1e-30)
    groups = int(reader.attributes["groups"])
    scaled = np.abs(weight / factor[:, None, None, None])
    rows = scaled.reshape(groups, -1, *weight.shape[1:]).max(axis=(1, 3, 4)) / _INTEGERS
    inputs = (factor**2 * square).reshape(groups, -1).sum(axis=1)
    taps = int(weight.shape[2] * weight.shape[3])
    return _WEIGHTS_COST * float((rows**2 / 12 * inputs[:, None]).sum() * taps) / signal


def scaled_weights(
    graph: GraphSpec, weights: Weights, factors: Mapping[str, Floats]
) -> dict[str, NDArray[np.float32]]:
    """The weights of the network whose tensors' channels are multiplied by ``factors``."""
    found: dict[str, NDArray[np.float32]] = {}
    for node in graph.nodes:
        inside, outside = factors.get(node.inputs[0]), factors.get(node.name)
        for weight in node.weights:
            name = f"{node.name}.{weight}"
            array = weights[name].astype(np.float64)
            found[name] = _scaled(node, weight, array, inside, outside).astype(np.float32)
    return found


def _scaled(
    node: NodeSpec,
    weight: str,
    array: NDArray[Any],
    inside: Floats | None,
    outside: Floats | None,
) -> NDArray[Any]:
    if node.kind == "conv2d" and weight == "weight":
        depthwise = node.attributes["groups"] != 1
        if inside is not None:
            array = array / (inside[:, None, None, None] if depthwise else inside[:, None, None])
        return array if outside is None else array * outside[:, None, None, None]
    if node.kind == "conv_transpose2d" and weight == "weight":
        if inside is not None:
            array = array / inside[:, None, None, None]
        if outside is None:
            return array
        groups = int(node.attributes["groups"])
        rows = np.repeat(outside.reshape(groups, -1), len(array) // groups, axis=0)
        return array * rows[:, :, None, None]
    if node.kind in ("gc_block", "se_block") and weight in ("mask_weight", "w1"):
        return array if inside is None else array / inside
    if node.kind == "gc_block" and weight in ("w2", "b2") and outside is not None:
        return array * (outside[:, None] if weight == "w2" else outside)
    if weight == "bias" and outside is not None:
        return array * outside
    return array
