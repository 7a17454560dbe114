"""Ranges and histograms of a network's maps, over crops that stream through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpn_core import _core
from lpn_core._checks import isa_name
from lpn_core._text import printable
from lpn_core.model.integer_graph import set_scales
from lpn_core.model.spec import ModelFile

BINS = 2048
# Of a larger map every so many rows count, others for each crop.
_MAP_VALUES = 1 << 16

Floats = NDArray[np.float64]
Progress = Callable[[int], object]


class Maps:
    """Runs a network to some of its maps, which are float32 in every precision.

    Args:
        model_file: of the network.
        names: of the maps, nodes of its graph.
    """

    def __init__(
        self,
        model_file: ModelFile,
        names: Sequence[str],
        *,
        threads: int | None = None,
        isa: str | None = None,
        precision: str = "fp32",
    ) -> None:
        """Compiles it."""
        self.names = tuple(names)
        spec = model_file.input
        self._normalisation = (spec.channel_map("rgb"), spec.scale, spec.shift)
        graph = replace(model_file.graph, outputs=self.names).build(model_file.weights)
        if precision == "int8" and model_file.quantization is not None:
            set_scales(graph, model_file.quantization, spec)
        self._compiled = _core.CompiledModel(
            graph, threads or 0, isa_name(isa), precision=precision
        )

    def run(
        self, crops: NDArray[np.uint8], progress: Progress | None = None
    ) -> Iterator[tuple[int, str, NDArray[np.float32]]]:
        """Number of the crop, map and its values (positions, C), crop by crop."""
        # One by one: all maps of a crop are in memory.
        for crop in range(len(crops)):
            one = np.ascontiguousarray(crops[crop : crop + 1])
            outputs = self._compiled.run_all_u8(one, *self._normalisation)
            for name, output in zip(self.names, outputs, strict=True):
                yield crop, name, output.reshape(-1, output.shape[3])
            if progress is not None:
                progress(1)


@dataclass
class ChannelRanges:
    """Of a map's channels over all crops.

    Attributes:
        least: (C,) their least values.
        most: (C,) their largest values.
        square: (C,) means of the squares.
    """

    least: Floats
    most: Floats
    square: Floats

    @property
    def largest(self) -> Floats:
        """(C,) the largest absolute values."""
        return np.maximum(-self.least, self.most)


def channel_ranges(
    maps: Maps, crops: NDArray[np.uint8], progress: Progress | None = None
) -> dict[str, ChannelRanges]:
    """The ranges of all maps.

    Raises:
        ValueError: a value that is not finite; the message names the map and the crop.
    """
    found: dict[str, ChannelRanges] = {}
    for crop, name, values in maps.run(crops, progress):
        least, most = values.min(axis=0), values.max(axis=0)
        squares = np.einsum("pc,pc->c", values, values)
        square = squares.astype(np.float64) / len(values)
        if not np.isfinite(square).all():
            raise ValueError(
                f"{printable(name)} has values that are not finite, or whose squares are not, on "
                f"crop {crop}; wanted a network that computes numbers"
            )
        entry = found.get(name)
        if entry is None:
            found[name] = ChannelRanges(
                least.astype(np.float64), most.astype(np.float64), square / len(crops)
            )
        else:
            np.minimum(entry.least, least, out=entry.least)
            np.maximum(entry.most, most, out=entry.most)
            entry.square += square / len(crops)
    return found


@dataclass
class Histogram:
    """Of a map's values times its channels' factors.

    Attributes:
        least: where the first bin begins.
        most: where the last one ends.
        counts: (BINS,) how many values lie in each.
        costs: (BINS,) the sum of 1 / factor^2 of these: squared errors times that are those of the
            map itself.
    """

    least: float
    most: float
    counts: Floats
    costs: Floats

    @property
    def centers(self) -> Floats:
        """(BINS,) the middles of the bins."""
        width = (self.most - self.least) / BINS
        return self.least + width * (np.arange(BINS, dtype=np.float64) + 0.5)


def histograms(
    maps: Maps,
    crops: NDArray[np.uint8],
    ranges: Mapping[str, ChannelRanges],
    factors: Mapping[str, Floats],
    progress: Progress | None = None,
) -> dict[str, Histogram]:
    """The histograms of all maps.

    Args:
        maps: that run.
        crops: the same that ``ranges`` are of.
        ranges: of all maps.
        factors: (C,) powers of two, of all maps.
        progress: told the number of crops that are done.
    """
    found, plans = {}, {}
    for name in maps.names:
        factor, entry = factors[name], ranges[name]
        least, most = float((entry.least * factor).min()), float((entry.most * factor).max())
        least, most = min(least, 0.0), max(most, 0.0)
        if most - least < 1e-12:
            most = least + 1e-12
        found[name] = Histogram(least, most, np.zeros(BINS), np.zeros(BINS))
        kinds, kind = np.unique(factor, return_inverse=True)
        # Just below BINS, so that the largest value is in the last one.
        bins = BINS * (1 - 1e-6) / (most - least)
        shift = kind * float(BINS) - least * bins
        plans[name] = kinds, (factor * bins).astype(np.float32), shift.astype(np.float32)
    for crop, name, values in maps.run(crops, progress):
        kinds, scale, begin = plans[name]
        step = max(1, values.size // _MAP_VALUES)
        places = values[crop % step :: step] * scale
        places += begin
        indices = places.astype(np.int32).ravel()
        np.clip(indices, 0, BINS * len(kinds) - 1, out=indices)
        counts = np.bincount(indices, minlength=BINS * len(kinds)).reshape(len(kinds), BINS)
        found[name].counts += step * counts.sum(axis=0)
        found[name].costs += (step / kinds**2 * counts.T).sum(axis=1)
    return found
