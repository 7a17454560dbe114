"""Scales of networks: that they keep what float computes, and what they do to maps and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from helpers import lpn_state_dict, tiny_model_file
from lpn_core import architectures, model_file
from lpn_core.convert import self_test_error
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.quantization import MapScale
from lpn_core.model_file import ModelFile
from lpn_core.quantization.maps import of_one_scale, of_one_width, stored_maps
from lpn_core.quantization.quantize import (
    PASSES,
    calibrate,
    float_products,
    with_heatmaps_hash,
)
from lpn_core.quantization.ranges import BINS, Histogram, Maps, channel_ranges, histograms
from lpn_core.quantization.scales import clipped_share, map_scale, squared_error, weight_scales
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 48


def _lpn(attention: str = "gc", seed: int = 0) -> ModelFile:
    graph, weights = architectures.build("lpn50", lpn_state_dict(50, attention, seed=seed))
    return tiny_model_file(graph=graph, weights=weights)


def _crops(count: int = 32, seed: int = 1) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, 8, 6, 3))
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2), np.uint8)


@pytest.fixture(scope="module")
def calibrated() -> tuple[ModelFile, ModelFile]:
    """A random LPN-50 with GC, as it is and with scales."""
    plain = _lpn()
    return plain, lpn_core.quantize(plain, _crops(), threads=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_float_heatmaps_stay_as_they_are(
    calibrated: tuple[ModelFile, ModelFile], precision: str
) -> None:
    plain, quantized = calibrated
    crops = _crops(3, seed=5)
    changed = [n for n, w in plain.weights.items() if not np.array_equal(w, quantized.weights[n])]
    assert "layer1.0.conv2.weight" in changed
    assert "layer1.0.att.w2" in changed
    assert "deconv_layers.6.weight" in changed
    with (
        lpn_core.Model(plain, precision=precision) as before,
        lpn_core.Model(quantized, precision=precision) as after,
    ):
        np.testing.assert_array_equal(before(crops), after(crops), strict=True)


@pytest.mark.parametrize("attention", ["se", "none"])
def test_float_heatmaps_of_other_networks_stay_as_they_are(attention: str) -> None:
    plain = _lpn(attention, seed=3)
    quantized = lpn_core.quantize(plain, _crops(), threads=1)
    crops = _crops(2, seed=6)
    with lpn_core.Model(plain) as before, lpn_core.Model(quantized) as after:
        np.testing.assert_array_equal(before(crops), after(crops), strict=True)


def test_the_same_file_every_time(calibrated: tuple[ModelFile, ModelFile], tmp_path: Path) -> None:
    plain, quantized = calibrated
    for isa in lpn_core.supported_isas()[-2:]:
        if isa == "scalar":
            continue  # its fma rounds twice
        once = lpn_core.quantize(plain, _crops(), threads=2, isa=isa)
        for dtype in ("float32", "int8"):
            first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
            model_file.write(first, quantized, dtype)
            model_file.write(second, once, dtype)
            assert first.read_bytes() == second.read_bytes()


def test_every_stored_map_has_a_scale_and_every_product_scales_of_weights(
    calibrated: tuple[ModelFile, ModelFile],
) -> None:
    plain, quantized = calibrated
    assert quantized.quantization is not None
    tensors = quantized.quantization.tensors
    assert quantized.quantization.images == 32
    assert list(tensors) == stored_maps(plain.graph)
    # Joined to what adds it; of two summands the one that is computed first lies in memory.
    assert "layer1.0.att" not in tensors
    assert "layer1.0.conv3" not in tensors
    assert "layer2.0.att" in tensors
    assert "layer2.0.downsample" not in tensors
    assert "final_layer" not in tensors
    assert tensors["conv1"] == tensors["maxpool"]
    zeros = {name for name, scale in tensors.items() if scale.zero_point}
    assert zeros == {"layer2.0.att", "layer3.0.att", "layer4.0.att"}
    for node in quantized.graph.nodes:
        wanted = node.kind in ("conv2d", "conv_transpose2d")
        assert ("weight_scale" in node.weights) == wanted


def _near_largest(scales: NDArray[np.float32], rows: NDArray[Any]) -> None:
    """That the integers of each row's largest weights are near 127."""
    ratio = scales * 127 / rows
    assert (ratio > 0.799).all()
    assert (ratio < 1.201).all()


def _worst_case(weight: NDArray[Any], scale: NDArray[Any], square: NDArray[Any]) -> NDArray[Any]:
    """(O,) the squared error of each row's results, of rows (O, C)."""
    integers = np.clip(np.rint(weight / scale[:, None]), -127, 127)
    error = (square * (integers * scale[:, None] - weight) ** 2).sum(axis=1)
    return np.asarray(error)


def test_scales_of_weights_are_those_of_least_error() -> None:
    generator = np.random.default_rng(7)
    weight = generator.normal(0, 1, (5, 40, 1, 1)).astype(np.float32)
    square = generator.uniform(0.1, 30, 40)
    graph = GraphSpec(
        "image",
        40,
        (_node("max_pool2d", "pool", "image"), replace(_conv("head", "pool"), weights=("weight",))),
        ("head",),
    )
    found = weight_scales(graph, {"head.weight": weight}, tiny_model_file().input, {"pool": square})
    rows = weight.reshape(5, 40).astype(np.float64)
    error = _worst_case(rows, found["head.weight_scale"].astype(np.float64), square)
    plain = _worst_case(rows, np.abs(rows).max(axis=1) / 127, square)
    # Scales are rounded to float32, and what lies between two integers may go the other way.
    assert (error <= plain * (1 + 1e-5)).all()
    assert error.sum() < 0.9 * plain.sum()


def test_scales_of_weights_are_near_the_largest(calibrated: tuple[ModelFile, ModelFile]) -> None:
    _, quantized = calibrated
    weights = quantized.weights
    rows = np.abs(weights["layer2.1.conv1.weight"]).max(axis=(1, 2, 3))
    _near_largest(weights["layer2.1.conv1.weight_scale"], rows)
    # The stem's integers hold the pixels' normalisation.
    normalised = weights["conv1.weight"] * np.array(quantized.input.scale)[:, None, None]
    rows = np.abs(normalised).max(axis=(1, 2, 3))
    _near_largest(weights["conv1.weight_scale"], rows)
    # Grouped: output o of group g is weight[g's inputs, o].
    weight = np.abs(weights["deconv_layers.0.weight"])
    groups = 256
    rows = weight.reshape(groups, 2, 1, 4, 4).max(axis=(1, 3, 4)).ravel()
    _near_largest(weights["deconv_layers.0.weight_scale"], rows)


def test_a_scale_is_that_of_least_squared_error() -> None:
    generator = np.random.default_rng(2)
    values = np.abs(generator.standard_normal(2_000_000))
    values[0] = 12.0
    counts, edges = np.histogram(values, BINS, (0, 12))
    histogram = Histogram(0.0, 12.0, counts.astype(np.float64), counts.astype(np.float64))
    found = map_scale([histogram])
    assert found.zero_point == 0
    # One value far from the others is clipped, the others are not rounded for its sake.
    assert found.scale * 255 < 8
    assert 0 < clipped_share(histogram, found) < 1e-3
    middles = (edges[1:] + edges[:-1]) / 2
    stored = np.minimum(np.rint(middles / found.scale), 255) * found.scale
    wanted = float((counts * (stored - middles) ** 2).sum())
    assert squared_error(histogram, found) == pytest.approx(wanted)
    assert wanted < squared_error(histogram, MapScale(12 / 255, 0)) / 2


def test_maps_with_both_signs_have_a_zero_point() -> None:
    counts = np.ones(BINS)
    found = map_scale([Histogram(-1.0, 3.0, counts, counts)])
    assert found.zero_point == pytest.approx(64, abs=1)
    assert found.scale == pytest.approx(4 / 255, rel=0.02)


def test_histograms_count_every_value_once(calibrated: tuple[ModelFile, ModelFile]) -> None:
    plain, _ = calibrated
    crops = _crops(4)
    maps = Maps(plain, ["layer2.0.conv1", "layer2.0.att"], threads=1)
    ranges = channel_ranges(maps, crops)
    ones = {name: np.ones(128) for name in maps.names}
    twos = {name: np.where(np.arange(128) % 2, 2.0, 1.0) for name in maps.names}
    with_ones = histograms(maps, crops, ranges, ones)
    with_twos = histograms(maps, crops, ranges, twos)
    graph = replace(plain.graph, outputs=maps.names)
    compiled = graph.compile(plain.weights, threads=1, isa=None)
    spec = plain.input
    outputs = compiled.run_all_u8(crops, spec.channel_map("rgb"), spec.scale, spec.shift)
    for name, output in zip(maps.names, outputs, strict=True):
        values = output.reshape(-1, 128).astype(np.float64)
        np.testing.assert_array_equal(ranges[name].least, values.min(axis=0))
        np.testing.assert_array_equal(ranges[name].most, values.max(axis=0))
        np.testing.assert_allclose(ranges[name].square, (values**2).mean(axis=0), rtol=1e-5)
        assert with_ones[name].counts.sum() == values.size
        wanted, _ = np.histogram(values, BINS, (with_ones[name].least, with_ones[name].most))
        # Bins are told apart in float32: some values at their edges are in the next one.
        apart = np.abs(np.cumsum(wanted) - np.cumsum(with_ones[name].counts)).max()
        assert apart <= 0.01 * values.size
        assert with_ones[name].costs.sum() == values.size
        assert with_twos[name].counts.sum() == values.size
        assert with_twos[name].costs.sum() == values.size * (1 + 1 / 4) / 2


def _node(kind: str, name: str, *inputs: str, **attributes: Any) -> NodeSpec:
    conv = {"stride": 1, "padding": 0, "groups": 1, "activation": "none"}
    base = conv if kind == "conv2d" else {"activation": "none"} if kind == "add" else {}
    return NodeSpec(kind, name, inputs, {**base, **attributes}, ())


def _conv(name: str, source: str) -> NodeSpec:
    return _node("conv2d", name, source)


def test_which_maps_lie_in_memory() -> None:
    graph = GraphSpec(
        "image",
        3,
        (
            _node("conv2d", "a", "image", activation="relu"),
            _node("conv2d", "left", "a"),
            _node("conv2d", "right", "a"),
            _node("add", "sum", "left", "right", activation="relu"),
            _node("conv2d", "before", "sum"),
            _node("gc_block", "att", "before"),
            _node("add", "again", "att", "sum"),
            _node("upsample_nearest", "up", "again", factor=2),
            _node("concat", "both", "up", "up"),
            _node("conv2d", "head", "both"),
            _node("conv2d", "unread", "both"),
        ),
        ("head", "left"),
    )
    # An output is float, and nobody's residual is computed in its registers.
    assert stored_maps(graph) == ["a", "sum", "again", "up", "both"]
    assert of_one_scale(graph, stored_maps(graph)) == [["a"], ["sum"], ["again", "up", "both"]]
    widths = of_one_width(graph)
    assert ["a"] in widths
    # "left" is an output: what it is added to stays as it is, and so does what is concatenated.
    assert all("sum" not in group and "again" not in group for group in widths)


def test_too_few_crops_and_crops_of_another_kind() -> None:
    plain = tiny_model_file()
    with pytest.raises(ValueError, match="31 crops are too few to find scales on; wanted at least"):
        lpn_core.quantize(plain, _crops(31))
    with pytest.raises(ValueError, match=r"\(32, 32, 48, 3\); wanted \(N, 64, 48, 3\), the size"):
        lpn_core.quantize(plain, np.zeros((32, 32, 48, 3), np.uint8))
    with pytest.raises(TypeError, match="crops"):
        lpn_core.quantize(plain, _crops().astype(np.float32))


def test_values_that_are_not_finite_are_refused() -> None:
    graph = GraphSpec(
        "image",
        3,
        (
            NodeSpec(
                "conv2d",
                "stem",
                ("image",),
                {"stride": 4, "padding": 0, "groups": 1, "activation": "relu"},
                ("weight", "bias"),
            ),
            NodeSpec(
                "conv2d",
                "head",
                ("stem",),
                {"stride": 1, "padding": 0, "groups": 1, "activation": "none"},
                ("weight", "bias"),
            ),
        ),
        ("head",),
    )
    weights = {
        "stem.weight": np.full((4, 3, 4, 4), 1e30, np.float32),
        "stem.bias": np.zeros(4, np.float32),
        "head.weight": np.zeros((17, 4, 1, 1), np.float32),
        "head.bias": np.zeros(17, np.float32),
    }
    with pytest.raises(ValueError, match=r"stem has values that are not finite, .* on crop 0"):
        lpn_core.quantize(tiny_model_file(graph=graph, weights=weights), _crops())


def test_progress_counts_all_passes() -> None:
    seen: list[int] = []
    plain = _lpn()
    calibrate(plain, _crops(33), threads=1, progress=seen.append)
    assert sum(seen) == PASSES * 33


def _odd_network(odd: str) -> ModelFile:
    """With a convolution that the engine has no kernel of integers for."""
    relu = {"activation": "relu"}
    nodes = [
        _node("conv2d", "stem", "image", stride=4, **relu),
        _node("conv2d", "middle", "stem", **relu),
        _node("conv2d", "head", "middle"),
    ]
    shapes = {"stem": (8, 3, 4, 4), "middle": (16, 8, 1, 1), "head": (17, 16, 1, 1)}
    outputs = ["head"]
    if odd == "3x3 head":
        nodes[2] = replace(nodes[2], attributes={**nodes[2].attributes, "padding": 1})
        shapes["head"] = (17, 16, 3, 3)
    else:
        outputs = ["head", "middle"]
    nodes = [replace(node, weights=("weight", "bias")) for node in nodes]
    generator = np.random.default_rng(4)
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = generator.normal(0, 0.2, shape).astype(np.float32)
        weights[f"{name}.bias"] = generator.normal(0, 0.2, shape[0]).astype(np.float32)
    graph = GraphSpec("image", 3, tuple(nodes), tuple(outputs))
    return tiny_model_file(graph=graph, weights=weights)


@pytest.mark.parametrize("odd", ["3x3 head", "an output that is read"])
def test_what_the_engine_computes_in_float_keeps_its_weights(odd: str, tmp_path: Path) -> None:
    quantized = lpn_core.quantize(_odd_network(odd), _crops(), threads=1)
    assert quantized.quantization is not None
    assert quantized.quantization.float_nodes == ("head",)
    assert {n.name for n in quantized.graph.nodes if "weight_scale" in n.weights} == {
        "stem",
        "middle",
    }
    hashed = with_heatmaps_hash(quantized).quantization
    assert hashed is not None
    assert hashed.heatmaps_sha256 is None
    crops, found = _crops(2, seed=9), []
    for dtype in ("float32", "int8"):
        path = tmp_path / f"{dtype}.safetensors"
        model_file.write(path, quantized, dtype)
        read = model_file.read(path)
        np.testing.assert_array_equal(
            read.weights["head.weight"], quantized.weights["head.weight"], strict=True
        )
        with lpn_core.Model(read, precision="int8", threads=1) as model:
            assert float_products(model) == ("head",)
            found.append(model(crops))
    np.testing.assert_array_equal(found[0], found[1], strict=True)


@pytest.mark.parametrize("attention", ["gc", "se", "none"])
def test_both_forms_of_a_file_give_the_same_bits_in_int8(attention: str, tmp_path: Path) -> None:
    quantized = lpn_core.quantize(_lpn(attention), _crops(), threads=1)
    crops = _crops(2, seed=9)
    found = []
    for dtype in ("float32", "int8"):
        path = tmp_path / f"{dtype}.safetensors"
        model_file.write(path, quantized, dtype)
        with lpn_core.Model(model_file.read(path), precision="int8") as model:
            found.append(model(crops))
    np.testing.assert_array_equal(found[0], found[1], strict=True)


def test_weights_and_self_test_of_integers_alone(tmp_path: Path) -> None:
    plain, path = _lpn(), tmp_path / "alone.safetensors"
    both, alone = (
        lpn_core.quantize(plain, _crops(), threads=1, dtype=d) for d in ("float32", "int8")
    )
    model_file.write(path, alone, "int8")
    read = model_file.read(path)
    for name, weight in alone.weights.items():
        np.testing.assert_array_equal(read.weights[name], weight, strict=True)
    with lpn_core.Model(read, threads=1) as model:
        assert self_test_error(model) < 1e-3
    assert np.abs(alone.self_test.keypoints - both.self_test.keypoints).max() > 0.05
    with pytest.raises(ValueError, match="dtype is 'bfloat16'; wanted one of float32, int8"):
        lpn_core.quantize(plain, _crops(), dtype="bfloat16")
