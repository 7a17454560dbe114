"""What 8-bit integers do to a network layer by layer: ranges, noise and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.model.model import Model
from lpn_core.model.quantization import quantized_nodes
from lpn_core.quantization.quantize import Calibrated
from lpn_core.quantization.ranges import Maps, Progress
from lpn_core.quantization.scales import (
    clipped_share,
    integer_weight,
    rounded_weight,
    squared_error,
)


@dataclass(frozen=True)
class LayerReport:
    """One node of the network; what does not apply to it is None.

    Attributes:
        name: of the node.
        precision: in which it is computed.
        reason: why.
        least: of its map's range that bytes hold.
        most: of that range.
        clipped: the part of the map's values beyond it.
        map_snr: in dB, of rounding its map alone.
        weight_snr: in dB, of rounding its weights alone.
        snr: in dB, of its result in the network, with all that went before it in bytes.
        fp32_ms: of one crop in float32.
        int8_ms: and as it is now.
    """

    name: str
    precision: str
    reason: str
    least: float | None = None
    most: float | None = None
    clipped: float | None = None
    map_snr: float | None = None
    weight_snr: float | None = None
    snr: float | None = None
    fp32_ms: float | None = None
    int8_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def _decibels(signal: float, noise: float) -> float | None:
    """None where there is no noise, or no signal."""
    return 10 * log10(signal / noise) if signal > 0 and 0 < noise < inf else None


def layer_reports(
    calibrated: Calibrated,
    snr: Mapping[str, float | None],
    milliseconds: Sequence[Mapping[str, float]] = (),
) -> list[LayerReport]:
    """All layers that lie in bytes, or multiply them.

    Args:
        calibrated: the network.
        snr: of the results in the network, by name: :func:`network_snr`.
        milliseconds: of the layers in float32 and in int8.
    """
    file = calibrated.model_file
    assert file.quantization is not None
    integer = {
        node.name: node for node in quantized_nodes(file.graph, file.quantization.float_nodes)
    }
    found = []
    for node in file.graph.nodes:
        scale = file.quantization.tensors.get(node.name)
        if scale is None and node.name not in integer:
            continue
        values: dict[str, Any] = {"snr": snr.get(node.name)}
        if scale is not None:
            histogram = calibrated.histograms[node.name]
            power = float((histogram.costs * histogram.centers**2).sum())
            values |= {
                "least": scale.scale * (0 - scale.zero_point),
                "most": scale.scale * (255 - scale.zero_point),
                "clipped": clipped_share(histogram, scale),
                "map_snr": _decibels(power, squared_error(histogram, scale)),
            }
        if node.name in integer:
            weight = integer_weight(file.graph, node, file.weights, file.input)
            rounded = rounded_weight(node, weight, file.weights[f"{node.name}.weight_scale"])
            noise = float(((rounded - weight) ** 2).sum())
            values["weight_snr"] = _decibels(float((weight**2).sum()), noise)
        for field, times in zip(("fp32_ms", "int8_ms"), milliseconds, strict=False):
            values[field] = times.get(node.name)
        kept = node.name in file.quantization.float_nodes
        found.append(
            LayerReport(
                node.name,
                "fp32" if kept else "int8",
                "named in float_nodes" if kept else "the bar is met without more",
                **values,
            )
        )
    return found


def network_snr(
    calibrated: Calibrated,
    crops: NDArray[np.uint8],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, float | None]:
    """The signal-to-noise ratio of every map, in dB, with all that went before it in bytes."""
    file = calibrated.model_file
    assert file.quantization is not None
    names = [*file.quantization.tensors, *file.graph.outputs[:1]]
    found: dict[str, float | None] = {}
    # One map at a time: all of them are hundreds of megabytes.
    for name in names:
        plain = Maps(file, [name], threads=threads)
        narrow = Maps(file, [name], threads=threads, precision="int8")
        signal = noise = 0.0
        for (_, _, truth), (_, _, values) in zip(plain.run(crops), narrow.run(crops), strict=True):
            signal += float(np.vdot(truth, truth))
            noise += float(np.sum((values - truth) ** 2))
        found[name] = _decibels(signal, noise)
        if progress is not None:
            progress(len(crops))
    return found


def to_blame(layers: Sequence[LayerReport], count: int = 3) -> list[str]:
    """The layers that are rounded most coarsely, of map or weights, worst first."""
    worst = []
    for layer in layers:
        ratios = [ratio for ratio in (layer.map_snr, layer.weight_snr) if ratio is not None]
        if ratios and layer.precision == "int8":
            worst.append((min(ratios), layer.name))
    return [name for _, name in sorted(worst)[:count]]


def layer_milliseconds(model: Model, rounds: int) -> dict[str, float]:
    """The median time of one crop by layer; of layers that run as one, by the last of them."""
    spec = model.input
    image = np.zeros((1, spec.height, spec.width, model.compiled.input_channels), np.float32)
    marks = model.compiled.profile(image, rounds)
    medians = np.median(np.diff(marks, axis=1), axis=0) * 1e3
    found: dict[str, float] = {}
    for step, milliseconds in zip(model.steps(), medians, strict=True):
        name = step["name"].split(" + ")[-1]
        found[name] = found.get(name, 0.0) + float(milliseconds)
    return found
