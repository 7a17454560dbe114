"""Model files with scales: both forms, what older files keep, and scales that are none."""

from __future__ import annotations

import json
import math
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CONV, assemble, assert_same, tiny_model_file
from lpn_core import load, model_file
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.file import _crc32c as crc_of
from lpn_core.model.file import _digest as digest_of
from lpn_core.model.safetensors import StoredTensor
from lpn_core.model_file import GraphSpec, MapScale, ModelFileError, NodeSpec, Quantization

SCALED = ("weight", "bias", "weight_scale")


def quantized_model_file(*, seed: int = 0) -> model_file.ModelFile:
    """A stem, a grouped transposed convolution and a head, with scales that clip."""
    generator = np.random.default_rng(seed)
    relu: dict[str, int | float | str] = {**CONV, "activation": "relu"}
    nodes = (
        NodeSpec("conv2d", "stem", ("image",), {**relu, "stride": 8}, SCALED),
        NodeSpec(
            "conv_transpose2d", "up", ("stem",), {**relu, "stride": 2, "padding": 1, "groups": 2},
            SCALED,
        ),
        NodeSpec("conv2d", "head", ("up",), {**CONV, "stride": 1}, SCALED),
    )  # fmt: skip
    shapes = {"stem": (6, 3, 8, 8), "up": (6, 2, 4, 4), "head": (17, 4, 1, 1)}
    outputs = {"stem": 6, "up": 4, "head": 17}
    weights: dict[str, np.ndarray[Any, Any]] = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = generator.normal(0, 0.1, shape).astype(np.float32)
        weights[f"{name}.bias"] = generator.normal(0, 0.1, outputs[name]).astype(np.float32)
        scales = generator.uniform(0.001, 0.003, outputs[name])
        weights[f"{name}.weight_scale"] = scales.astype(np.float32)
    plain = tuple(replace(node, weights=node.weights[:2]) for node in nodes)
    floats = {name: array for name, array in weights.items() if not name.endswith("scale")}
    graph = GraphSpec("image", 3, plain, ("head",))
    made = tiny_model_file(graph=graph, weights=floats, seed=seed)
    return replace(
        made,
        graph=replace(graph, nodes=nodes),
        weights=weights,
        quantization=Quantization(
            tensors={"stem": MapScale(0.02, 0), "up": MapScale(float(np.float32(0.013)), 7)},
            images=32,
            heatmaps_sha256="0f" * 32,
        ),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quantized.safetensors"


def _rounded(
    weight: np.ndarray[Any, Any], scale: np.ndarray[Any, Any], kind: str, groups: int = 1
) -> np.ndarray[Any, Any]:
    """float32(q * scale), output channel by output channel."""
    found = np.empty_like(weight)
    for channel, s in enumerate(scale):
        if kind == "conv2d":
            where: Any = (channel,)
        else:
            per_group, inputs = weight.shape[1], len(weight) // groups
            group = channel // per_group
            where = (slice(group * inputs, (group + 1) * inputs), channel % per_group)
        q = np.clip(np.rint(weight[where].astype(np.float64) / float(s)), -127, 127)
        found[where] = q.astype(np.float32) * s
    return found


def test_round_trip_beside_float_weights(path: Path) -> None:
    wanted = quantized_model_file()
    model_file.write(path, wanted)
    assert_same(model_file.read(path), wanted)
    first = path.read_bytes()
    model_file.write(path, model_file.read(path))
    assert path.read_bytes() == first
    document = json.loads(safetensors_file.read(path)[1]["lpn_core"])
    assert document["format_version"] == 3
    assert document["graph"]["outputs"] == ["head"]
    assert document["quantization"] == {
        "tensors": {
            "stem": {"scale": 0.02, "zero_point": 0},
            "up": {"scale": float(np.float32(0.013)), "zero_point": 7},
        },
        "float_nodes": [],
        "images": 32,
        "heatmaps_sha256": "0f" * 32,
    }


def test_integers_alone(path: Path) -> None:
    full = quantized_model_file()
    model_file.write(path, full, "int8")
    tensors, _ = safetensors_file.read(path)
    # The stem's integers hold the pixels' normalisation: its weights stay as they are.
    assert {name for name, tensor in tensors.items() if tensor.dtype == "I8"} == {
        "up.weight",
        "head.weight",
    }
    found = model_file.read(path)
    weights = dict(full.weights)
    weights["up.weight"] = _rounded(
        weights["up.weight"], weights["up.weight_scale"], "conv_transpose2d", 2
    )
    weights["head.weight"] = _rounded(
        weights["head.weight"], weights["head.weight_scale"], "conv2d"
    )
    assert np.abs(tensors["up.weight"].to_array()).max() <= 127
    assert_same(found, replace(full, weights=weights))
    assert_same(pickle.loads(pickle.dumps(found)), found)
    # The same integers again, and the same file.
    first = path.read_bytes()
    model_file.write(path, found, "int8")
    assert path.read_bytes() == first


def test_integers_alone_in_a_float_engine(path: Path) -> None:
    model_file.write(path, quantized_model_file(), "int8")
    found = model_file.read(path)
    floats = replace(found, weights=dict(found.weights))
    crops = found.self_test.crops
    from lpn_core import Model

    with load(path).model as model, Model(floats) as wanted:
        np.testing.assert_array_equal(model(crops), wanted(crops), strict=True)


def test_bfloat16_weights_stay_so(path: Path) -> None:
    full = quantized_model_file()
    rounded = replace(full, weights=model_file.round_weights(full.weights, "bfloat16"))
    model_file.write(path, rounded, "int8")
    tensors, _ = safetensors_file.read(path)
    assert tensors["stem.weight"].dtype == "BF16"
    np.testing.assert_array_equal(tensors["stem.weight"].to_array(), rounded.weights["stem.weight"])
    model_file.write(path, full, "int8")
    assert safetensors_file.read(path)[0]["stem.weight"].dtype == "F32"


def test_the_safetensors_package_reads_both(path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy")
    full = quantized_model_file()
    for dtype in ("float32", "int8"):
        model_file.write(path, full, dtype)
        theirs = package.load_file(path)
        ours, _ = safetensors_file.read(path)
        assert theirs.keys() == ours.keys()
        for name, tensor in ours.items():
            np.testing.assert_array_equal(theirs[name], tensor.to_array(), strict=True)


def test_files_without_scales_are_what_they_were(tmp_path: Path) -> None:
    for outputs in (("head",), ("head", "stem")):
        full = quantized_model_file()
        nodes = tuple(replace(node, weights=node.weights[:2]) for node in full.graph.nodes)
        weights = {name: w for name, w in full.weights.items() if not name.endswith("scale")}
        graph = replace(full.graph, nodes=nodes, outputs=outputs)
        model_file.write(
            tmp_path / "x.safetensors",
            replace(full, graph=graph, weights=weights, quantization=None),
        )
        document = json.loads(safetensors_file.read(tmp_path / "x.safetensors")[1]["lpn_core"])
        assert document["format_version"] == len(outputs)
        assert "quantization" not in document


def _break(path: Path, change: Any) -> None:
    """Writes the file again as ``change(document, tensors)`` leaves both."""
    tensors, metadata = safetensors_file.read(path)
    tensors = {name: replace_data(tensor) for name, tensor in tensors.items()}
    document = json.loads(metadata["lpn_core"])
    change(document, tensors)
    text = json.dumps(document)
    sums = {"lpn_core_sha256": digest_of(text, tensors), "lpn_core_crc32c": crc_of(text, tensors)}
    assemble(path, {"lpn_core": text, **sums}, tensors)


def replace_data(tensor: StoredTensor) -> StoredTensor:
    """The same in memory: the file is written over."""
    return tensor._replace(content=memoryview(bytes(tensor.data)))


def _scale(value: float) -> Any:
    def change(_: Any, tensors: dict[str, StoredTensor]) -> None:
        scales = tensors["up.weight_scale"].to_array()
        scales[2] = value
        tensors["up.weight_scale"] = StoredTensor.from_array(scales)

    return change


def _tensor(**values: Any) -> Any:
    return lambda document, _: document["quantization"]["tensors"]["up"].update(values)


def _field(name: str, value: Any) -> Any:
    return lambda document, _: document["quantization"].update({name: value})


def _without_scale(document: Any, tensors: dict[str, StoredTensor]) -> None:
    document["graph"]["nodes"][1]["weights"].remove("weight_scale")
    del tensors["up.weight_scale"]


def _without_quantization(document: Any, _: Any) -> None:
    del document["quantization"]
    document["format_version"] = 2


def _integer_stem(_: Any, tensors: dict[str, StoredTensor]) -> None:
    zeros = np.zeros(tensors["stem.weight"].shape, np.int8)
    tensors["stem.weight"] = StoredTensor.from_array(zeros)


def _integer_bias(_: Any, tensors: dict[str, StoredTensor]) -> None:
    tensors["up.bias"] = StoredTensor.from_array(np.zeros(4, np.int8))


def _short_scales(_: Any, tensors: dict[str, StoredTensor]) -> None:
    scales = tensors["up.weight_scale"].to_array()
    tensors["up.weight_scale"] = StoredTensor.from_array(scales[:3])


def _half_scales(_: Any, tensors: dict[str, StoredTensor]) -> None:
    scales = tensors["up.weight_scale"].to_array()
    tensors["up.weight_scale"] = StoredTensor.from_array(scales, bfloat16=True)


def _up(shape: tuple[int, ...], scales: int, groups: object = 2) -> Any:
    """A transposed convolution of integers of this shape, with so many scales."""

    def change(document: Any, tensors: dict[str, StoredTensor]) -> None:
        tensors["up.weight"] = StoredTensor.from_array(np.ones(shape, np.int8))
        tensors["up.weight_scale"] = StoredTensor.from_array(np.full(scales, 0.01, np.float32))
        document["graph"]["nodes"][1]["attributes"]["groups"] = groups

    return change


def _least_integer(_: Any, tensors: dict[str, StoredTensor]) -> None:
    integers = np.zeros(tensors["head.weight"].shape, np.int8)
    integers[3, 1] = -128
    tensors["head.weight"] = StoredTensor.from_array(integers)


def _scaled_pool(document: Any, _: Any) -> None:
    document["graph"]["nodes"][1]["kind"] = "max_pool2d"


def _crops(content: bytes) -> Any:
    def change(_: Any, tensors: dict[str, StoredTensor]) -> None:
        tensors["self_test.crops"] = StoredTensor("U8", (len(content),), memoryview(content))

    return change


BROKEN = {
    "scale of 0": (_tensor(scale=0), "quantization.tensors['up']: scale is 0; wanted a number"),
    "scale below 0": (_tensor(scale=-0.5), "['up']: scale is -0.5; wanted a number"),
    "scale of NaN": (_tensor(scale=math.nan), "['up']: scale is nan; wanted a number"),
    "infinite scale": (_tensor(scale=math.inf), "['up']: scale is inf; wanted a number"),
    "scale of text": (_tensor(scale="1"), "['up']: scale is not a number"),
    "scale of no float": (
        _tensor(scale=10**400), "scale is 100000000000000000...0000000000000000000;",
    ),
    "zero point of no word": (_tensor(zero_point=10**400), "['up']: zero_point is 10000000000000"),
    "zero point of 256": (_tensor(zero_point=256), "['up']: zero_point is 256; wanted 0 to 255"),
    "zero point below 0": (_tensor(zero_point=-1), "['up']: zero_point is -1; wanted 0 to 255"),
    "zero point of 0.5": (_tensor(zero_point=0.5), "['up']: zero_point is not an integer"),
    "more of a tensor": (_tensor(bits=8), "['up']: wanted an object of scale and zero_point"),
    "unknown tensor": (
        _field("tensors", {"layer9": {"scale": 1, "zero_point": 0}}),
        "quantization.tensors names layer9: no nodes of this graph; the quantization is another",
    ),
    "unknown node": (_field("float_nodes", ["a", "b"]), "quantization.float_nodes names a, b: no"),
    "no images": (_field("images", 0), "quantization.images is 0; wanted at least 1"),
    "hash": (_field("heatmaps_sha256", "abc"), "quantization.heatmaps_sha256 is 'abc'; wanted 64"),
    "more": (_field("bits", 8), "unknown fields: quantization.bits"),
    "list": (
        lambda document, _: document.update(quantization=[]),
        "wrong fields: quantization (wanted an object)",
    ),
    "no weight scale": (
        _without_scale,
        "missing scales of weights: up.weight_scale; nodes without are named in",
    ),
    "no quantization": (
        _without_quantization,
        "head.weight_scale: scales of weights without a quantization",
    ),
    "weight scale of NaN": (_scale(math.nan), "up.weight_scale[2] is nan; wanted a number from"),
    "weight scale of 0": (_scale(0), "up.weight_scale[2] is 0.0; wanted a number from"),
    "infinite weight scale": (_scale(math.inf), "up.weight_scale[2] is inf; wanted a number"),
    "three weight scales": (_short_scales, "up.weight_scale has shape (3,); wanted (4,)"),
    "weight scales of bfloat16": (_half_scales, "up.weight_scale is BF16; wanted F32"),
    "weights of no outputs": (
        _up((6, 0, 4, 4), 0), "up.weight has shape (6, 0, 4, 4); wanted four axes, none of them",
    ),
    "weights of two axes": (_up((6, 4), 4), "up.weight has shape (6, 4); wanted four axes"),
    "groups of 0": (
        _up((6, 2, 4, 4), 0, 0), "up: groups is 0; wanted an integer that divides the 6 inputs",
    ),
    "groups below 0": (_up((6, 2, 4, 4), 4, -2), "up: groups is -2; wanted an integer"),
    "groups of 2.5": (_up((6, 2, 4, 4), 4, 2.5), "up: groups is 2.5; wanted an integer"),
    "groups that part no inputs": (
        _up((6, 2, 4, 4), 8, 4), "up: groups is 4; wanted an integer that divides the 6 inputs",
    ),
    "weight scales of another kind": (_scaled_pool, "up: max_pool2d has no weight_scale; only"),
    "integer of -128": (_least_integer, "head.weight holds -128; wanted integers from -127 to 127"),
    "integer stem": (_integer_stem, "stem.weight is I8; wanted F32 or BF16: its integers"),
    "integer bias": (_integer_bias, "tensors that are not F32 or BF16: up.bias (I8)"),
    "crops of noise": (_crops(b"abc"), "self_test.crops cannot be unpacked"),
    "crops of nothing": (_crops(b""), "self_test.crops is packed; wanted the 18432 bytes of U8"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_scales_that_are_none(case: str, path: Path) -> None:
    change, words = BROKEN[case]
    model_file.write(path, quantized_model_file(), "int8" if "crops" in case else "float32")
    _break(path, change)
    with pytest.raises(ModelFileError, match=re.escape(words)):
        model_file.read(path)


def test_integers_without_scales(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_path.read_bytes())

    def change(_: Any, tensors: dict[str, StoredTensor]) -> None:
        zeros = np.zeros(tensors["head.weight"].shape, np.int8)
        tensors["head.weight"] = StoredTensor.from_array(zeros)

    _break(path, change)
    with pytest.raises(ModelFileError, match=r"tensors that are not F32 or BF16: head.weight .I8"):
        model_file.read(path)


def test_packed_crops_of_a_file_without_scales_are_none(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_path.read_bytes())
    _break(path, _crops(b"abc"))
    with pytest.raises(ModelFileError, match=r"self_test.crops is U8 \(3,\); wanted U8 \(2, 64"):
        model_file.read(path)


def test_packed_crops_are_unpacked_no_further_than_they_may(path: Path) -> None:
    import zlib

    model_file.write(path, quantized_model_file(), "int8")
    _break(path, _crops(zlib.compress(bytes(1 << 24), 9)))
    with pytest.raises(ModelFileError, match=r"self_test.crops is packed; wanted the 18432 bytes"):
        model_file.read(path)
