"""Scales of maps and of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.quantization import MapScale, per_output, quantized_nodes
from lpn_core.model.spec import InputSpec
from lpn_core.quantization.ranges import Floats, Histogram

_MOST_BYTE, _MOST_INTEGER = 255, 127
# Ends of the range that are tried, as parts of the largest value; of signed maps at both ends.
_ENDS = np.linspace(0.2, 1.0, 81)
_LOWER_ENDS = np.linspace(0.3, 1.0, 29)
# Steps between integers that are tried, as parts of the least without clipping.
_STEPS = np.linspace(0.8, 1.2, 81)


def map_scale(histograms: Sequence[Histogram]) -> MapScale:
    """The scale of least squared error of maps that have one together."""
    least = min(entry.least for entry in histograms)
    most = max(entry.most for entry in histograms)
    best: tuple[float, MapScale] | None = None
    for lower in _LOWER_ENDS * least if least < 0 else (0.0,):
        for upper in _ENDS * most:
            scale = float(np.float32(max((upper - lower) / _MOST_BYTE, 1e-12)))
            found = MapScale(scale, min(round(-lower / scale), _MOST_BYTE))
            error = sum(squared_error(entry, found) for entry in histograms)
            if best is None or error < best[0]:
                best = error, found
    assert best is not None
    return best[1]


def squared_error(histogram: Histogram, scale: MapScale) -> float:
    """What the errors of all values cost together, once they are bytes."""
    values = histogram.centers
    stored = np.clip(np.rint(values / scale.scale) + scale.zero_point, 0, _MOST_BYTE)
    errors = scale.scale * (stored - scale.zero_point) - values
    return float((histogram.costs * errors**2).sum())


def clipped_share(histogram: Histogram, scale: MapScale) -> float:
    """The part of the values that lie outside what the bytes reach."""
    values = histogram.centers
    low = scale.scale * (-scale.zero_point - 0.5)
    high = scale.scale * (_MOST_BYTE - scale.zero_point + 0.5)
    total = float(histogram.counts.sum())
    outside = float(histogram.counts[(values < low) | (values > high)].sum())
    return outside / total if total else 0.0


def weight_scales(
    graph: GraphSpec,
    weights: Mapping[str, NDArray[np.float32]],
    spec: InputSpec,
    squares: Mapping[str, Floats],
) -> dict[str, NDArray[np.float32]]:
    """``<node>.weight_scale`` of all convolutions: those of least squared error in their results.

    Args:
        graph: of the network.
        weights: of its nodes.
        spec: of its input.
        squares: (C,) means of the squares of maps' channels; of maps without, all count alike.
    """
    found = {}
    for node in quantized_nodes(graph):
        rows, inputs = _rows(node, integer_weight(graph, node, weights, spec))
        square = squares.get(node.inputs[0], np.ones(1))
        counts = np.broadcast_to(square, inputs.max() + 1)[inputs]
        largest = np.abs(rows).max(axis=1) / _MOST_INTEGER
        # Of a channel without weights any will do.
        largest = np.where(largest > 1e-18, largest, 1.0)
        best, least = largest, np.full(len(rows), np.inf)
        for factor in _STEPS:
            scale = (largest * factor).astype(np.float32).astype(np.float64)
            integers = np.clip(np.rint(rows / scale[:, None]), -_MOST_INTEGER, _MOST_INTEGER)
            error = (counts * (integers * scale[:, None] - rows) ** 2).sum(axis=1)
            best, least = np.where(error < least, scale, best), np.minimum(error, least)
        found[f"{node.name}.weight_scale"] = best.astype(np.float32)
    return found


def _rows(node: NodeSpec, weight: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """(O, n) the weights of each output channel, and (O, n) the channels that they multiply."""
    outputs, taps = len(weight), weight.shape[2] * weight.shape[3]
    groups = int(node.attributes["groups"])
    if node.kind == "conv2d":
        first = np.arange(outputs) if groups > 1 else np.zeros(outputs, np.intp)
        channels = first[:, None] + np.arange(weight.shape[1])
        return weight.reshape(outputs, -1), channels.repeat(taps, axis=1)
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    channels = np.arange(outputs).reshape(groups, 1, -1).repeat(weight.shape[1], axis=1)
    rows = parts.reshape(groups * weight.shape[1], -1)
    return rows, channels.reshape(len(rows), -1).repeat(taps, axis=1)


def integer_weight(
    graph: GraphSpec, node: NodeSpec, weights: Mapping[str, NDArray[np.float32]], spec: InputSpec
) -> Floats:
    """What the integers of a weight stand for: of a node that reads pixels, times their scale."""
    weight: Floats = weights[f"{node.name}.weight"].astype(np.float64)
    if graph.input_name in node.inputs and len(spec.scale) == weight.shape[1]:
        weight = weight * np.array(spec.scale)[:, None, None]
    return weight


def rounded_weight(node: NodeSpec, weight: Floats, scales: NDArray[np.float32]) -> Floats:
    """The weight that the integers stand for."""
    factor = per_output(node.kind, scales, weight.shape).astype(np.float64)
    integers = np.clip(np.rint(weight / factor), -_MOST_INTEGER, _MOST_INTEGER)
    found: Floats = integers * factor
    return found
