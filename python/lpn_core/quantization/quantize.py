"""From a network in float32 to one that can be run in 8-bit integers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lpn_core._checks import as_array, check_array
from lpn_core._text import printable
from lpn_core.convert.self_test import self_test_keypoints
from lpn_core.model.integer_file import rounded_weights
from lpn_core.model.model import Model
from lpn_core.model.quantization import WEIGHT_SCALE, Quantization, quantized_nodes
from lpn_core.model.safetensors import StoredArrays
from lpn_core.model.spec import ModelFile, SelfTest
from lpn_core.quantization import ranges
from lpn_core.quantization.equalise import channel_factors, scaled_weights
from lpn_core.quantization.maps import of_one_scale, readers_of, stored_maps
from lpn_core.quantization.ranges import Histogram, Maps, Progress
from lpn_core.quantization.scales import map_scale, weight_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import Array

# With fewer, a range hangs on whom they show.
MIN_CROPS = 32
# How often the crops are gone through.
PASSES = 2


@dataclass(frozen=True)
class Calibrated:
    """What calibration finds.

    Attributes:
        model_file: the model with its scales.
        histograms: of its maps' values, by name.
    """

    model_file: ModelFile
    histograms: Mapping[str, Histogram]


def quantize(
    model_file: ModelFile,
    crops: Array,
    *,
    threads: int | None = None,
    isa: str | None = None,
    progress: Progress | None = None,
    dtype: str = "float32",
) -> ModelFile:
    """Finds the scales with which a network is run in 8-bit integers.

    Its float32 and bfloat16 heatmaps stay as they are, to the bit, though weights change: channels
    are scaled by powers of two. The same crops give the same model.

    Args:
        model_file: of the network; scales that it has are found anew.
        crops: (N, H, W, 3) uint8, RGB: people as the network will see them, at least
            ``MIN_CROPS``, best some hundreds, and none that it is judged by. They are read a few
            at a time, twice: a memory map will do.
        threads: that the network is run on; None as for :class:`lpn_core.Model`.
        isa: instruction set; None for the best one. Scales do not depend on it.
        progress: called with numbers of crops: ``PASSES`` times as many in all.
        dtype: "int8" for a file that ``model_file.write`` is to write with this ``dtype``: the
            weights are then those that the integers stand for, and so is the self-test.

    Raises:
        ValueError: too few crops, or of another size than the model's; a file of integers alone;
            a network with values that are not finite; another ``dtype``.
        TypeError: crops that are not uint8.
    """
    if dtype not in ("float32", "int8"):
        raise ValueError(f"dtype is {dtype!r}; wanted one of float32, int8")
    made = calibrate(model_file, crops, threads=threads, isa=isa, progress=progress).model_file
    return with_integers_alone(made) if dtype == "int8" else made


def calibrate(
    model_file: ModelFile,
    crops: Array,
    *,
    threads: int | None = None,
    isa: str | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """As :func:`quantize`, and with what it was found on."""
    check_floats(model_file)
    pixels = _check_crops(model_file, crops)
    plain = without_scales(model_file)
    graph, weights = plain.graph, plain.weights
    names = stored_maps(graph)
    maps = Maps(plain, names, threads=threads, isa=isa)
    found = ranges.channel_ranges(maps, pixels, progress)
    factors = channel_factors(graph, weights, found)
    of_maps = {name: factors.get(name, np.ones(len(found[name].least))) for name in names}
    counted = ranges.histograms(maps, pixels, found, of_maps, progress)
    scaled = scaled_weights(graph, weights, factors)
    squares = {name: found[name].square * of_maps[name] ** 2 for name in names}
    scales = weight_scales(graph, scaled, plain.input, squares)
    nodes = tuple(
        replace(node, weights=(*node.weights, WEIGHT_SCALE))
        if f"{node.name}.{WEIGHT_SCALE}" in scales
        else node
        for node in graph.nodes
    )
    tensors = {}
    readers = readers_of(graph)
    for group in of_one_scale(graph, names):
        # What bytes are only moved from has no say.
        inner = [n for n in group if {r.name for r in readers[n]} <= set(group)]
        scale = map_scale([counted[n] for n in group if n not in inner])
        tensors.update(dict.fromkeys(group, scale))
    made = replace(
        plain,
        graph=replace(graph, nodes=nodes),
        weights={**scaled, **scales},
        quantization=Quantization(
            tensors={name: tensors[name] for name in names}, images=len(pixels)
        ),
    )
    return Calibrated(_with_float_nodes(made, threads, isa), counted)


def _with_float_nodes(model_file: ModelFile, threads: int | None, isa: str | None) -> ModelFile:
    """The model that names what it multiplies in float, whose weights no integers stand for."""
    with Model(model_file, precision="int8", threads=threads, isa=isa) as model:
        kept = float_products(model)
    assert model_file.quantization is not None
    nodes = tuple(
        replace(node, weights=tuple(w for w in node.weights if w != WEIGHT_SCALE))
        if node.name in kept
        else node
        for node in model_file.graph.nodes
    )
    graph = replace(model_file.graph, nodes=nodes)
    return replace(
        model_file,
        graph=graph,
        weights={name: model_file.weights[name] for name in graph.weight_names()},
        quantization=replace(model_file.quantization, float_nodes=kept),
    )


def float_products(model: Model) -> tuple[str, ...]:
    """The convolutions, plain and transposed, that a model in int8 computes in float."""
    integer = {
        name
        for step in model.steps()
        if step["precision"] == "int8"
        for name in step["name"].split(" + ")
    }
    return tuple(n.name for n in quantized_nodes(model.file.graph) if n.name not in integer)


def with_integers_alone(model_file: ModelFile) -> ModelFile:
    """The model as a file written with dtype "int8" gives it back, with the self-test of that.

    Its heatmaps in int8 are the same.
    """
    made = replace(model_file, weights=rounded_weights(model_file))
    with Model(made) as model:
        keypoints = self_test_keypoints(model)
    return replace(made, self_test=SelfTest(made.self_test.crops, keypoints))


def with_heatmaps_hash(model_file: ModelFile) -> ModelFile:
    """The model with the hash of its self-test's heatmaps in int8.

    None where some of its products are float: these are rounded in another order on other CPUs.
    """
    assert model_file.quantization is not None
    with Model(model_file, precision="int8") as model:
        exact = not float_products(model)
    digest = heatmaps_sha256(model_file) if exact else None
    return replace(
        model_file, quantization=replace(model_file.quantization, heatmaps_sha256=digest)
    )


def heatmaps_sha256(model_file: ModelFile) -> str:
    """Of the self-test's heatmaps in int8, as little-endian float32."""
    with Model(model_file, precision="int8") as model:
        heatmaps = model(model_file.self_test.crops)
    return hashlib.sha256(heatmaps.astype("<f4", copy=False).tobytes()).hexdigest()


def without_scales(model_file: ModelFile) -> ModelFile:
    """The model as it was before it was quantized."""
    nodes = tuple(
        replace(node, weights=tuple(w for w in node.weights if w != WEIGHT_SCALE))
        for node in model_file.graph.nodes
    )
    graph = replace(model_file.graph, nodes=nodes)
    weights = {name: model_file.weights[name] for name in graph.weight_names()}
    return replace(model_file, graph=graph, weights=weights, quantization=None)


def check_floats(model_file: ModelFile) -> None:
    """Checks that a model has its float weights still.

    Raises:
        ValueError: it was read from a file of integers alone.
    """
    weights = model_file.weights
    if isinstance(weights, StoredArrays) and weights.integers:
        raise ValueError(
            f"{printable(model_file.name)!r} has integers alone, whose float weights are rounded "
            "already; wanted the model that they were made from"
        )


def _check_crops(model_file: ModelFile, crops: Array) -> NDArray[np.uint8]:
    spec = model_file.input
    array = as_array(crops, "crops")
    shape = (spec.height, spec.width, 3)
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[1:] != shape:
        raise ValueError(
            f"crops have shape {array.shape}; wanted (N, {spec.height}, {spec.width}, 3), the size "
            f"of {model_file.name!r}"
        )
    checked: NDArray[np.uint8] = check_array(array, "crops", np.uint8, "(N, H, W, 3)")
    if len(checked) < MIN_CROPS:
        raise ValueError(
            f"{len(checked)} crops are too few to find scales on; wanted at least {MIN_CROPS}, "
            "best some hundreds"
        )
    if not any(quantized_nodes(model_file.graph)):
        raise ValueError(f"{model_file.name!r} has no convolution to quantize")
    return checked
