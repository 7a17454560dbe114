"""Networks of several outputs: in the engine, in model files, and behind the simple face."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import lpn_core
import numpy as np
import pytest
from helpers import tiny_heatmaps, tiny_model_file
from lpn_core import model_file
from lpn_core.model.document import dump_document, load_document
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.model import Model
from lpn_core.model_file import ModelFile, ModelFileError

POOL = NodeSpec("max_pool2d", "pool", ("image",), {"kernel": 2, "stride": 2, "padding": 0})


@pytest.fixture(scope="module")
def both() -> ModelFile:
    """The tiny model, and beside its heatmaps the image's maxima."""
    tiny = tiny_model_file()
    graph = replace(tiny.graph, nodes=(POOL, *tiny.graph.nodes), outputs=("head", "pool"))
    return replace(tiny, graph=graph)


def _crops(made: ModelFile, n: int = 3) -> np.ndarray:
    size = (n, made.input.height, made.input.width, 3)
    return np.random.default_rng(1).normal(0, 1, size).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_output_is_what_its_reference_says(both: ModelFile, threads: int) -> None:
    crops = _crops(both)
    n, h, w, c = crops.shape
    with Model(both, threads=threads) as model:
        outputs = model.run_all(crops)
        heatmaps = model(crops)
    assert list(outputs) == ["head", "pool"]
    np.testing.assert_array_equal(heatmaps, outputs["head"])
    expected = tiny_heatmaps(both, crops).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(heatmaps, expected, rtol=0, atol=48 * 6e-8 * np.abs(expected).max())
    maxima = crops.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
    np.testing.assert_array_equal(outputs["pool"], maxima)


def test_bytes_give_every_output_too(both: ModelFile) -> None:
    size = (2, both.input.height, both.input.width, 3)
    pixels = np.random.default_rng(2).integers(0, 256, size, np.uint8)
    with Model(both, threads=1) as model:
        outputs = model.run_all(pixels)
        np.testing.assert_array_equal(outputs["head"], model(pixels))
    maxima = pixels.reshape(2, size[1] // 2, 2, size[2] // 2, 2, 3).max(axis=(2, 4))
    scale, shift = np.float32(both.input.scale), np.float32(both.input.shift)
    np.testing.assert_array_equal(outputs["pool"], maxima * scale + shift)


def test_one_output_has_a_name_as_well(tiny: ModelFile) -> None:
    crops = _crops(tiny, 1)
    with Model(tiny, threads=1) as model:
        outputs = model.run_all(crops)
        np.testing.assert_array_equal(outputs["head"], model(crops))
    assert list(outputs) == ["head"]


def test_poses_come_from_the_first_output(both: ModelFile, tiny: ModelFile) -> None:
    image = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    boxes = [[4, 4, 40, 50], [20, 10, 40, 40]]
    found, expected = (
        lpn_core.PoseEstimator(Model(made, threads=1))(image, boxes, order="rgb", flip=True)
        for made in (both, tiny)
    )
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)


def test_a_file_of_several_outputs_is_version_2(both: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "both.safetensors"
    model_file.write(path, both)
    found = model_file.read(path)
    assert found.graph == both.graph
    document = dump_document(both)
    assert document["format_version"] == 2
    assert document["graph"]["outputs"] == ["head", "pool"]
    assert "output" not in document["graph"]


def test_a_file_of_one_output_stays_version_1(tiny: ModelFile) -> None:
    document = dump_document(tiny)
    assert document["format_version"] == 1
    assert document["graph"]["output"] == "head"
    assert load_document(json.dumps(document)).graph.outputs == ("head",)


@pytest.mark.parametrize(
    ("version", "ends", "words"),
    [
        (1, {"outputs": ["head"]}, "missing fields: graph.output; unknown fields: graph.outputs"),
        (2, {"output": "head"}, "missing fields: graph.outputs; unknown fields: graph.output"),
        (2, {"outputs": []}, "wrong fields: graph.outputs .wanted a list of at least one string"),
        (2, {"outputs": "head"}, "wrong fields: graph.outputs"),
        (0, {"output": "head"}, "format_version is 0; this lpn_core reads 1 to 3"),
        (True, {"output": "head"}, "format_version is True"),
    ],
)
def test_each_version_names_its_outputs_its_own_way(
    version: int, ends: dict[str, object], words: str, tiny: ModelFile
) -> None:
    document = dump_document(tiny)
    del document["graph"]["output"]
    document["graph"].update(ends)
    document["format_version"] = version
    with pytest.raises(ModelFileError, match=words):
        load_document(json.dumps(document))


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (("head", "head"), "'tiny': output \"head\" was added already"),
        (("head", "tail"), "'tiny': output \"tail\" is not a node"),
        ((), "no output; call add_output"),
        (("pool", "head"), "(?s)heatmaps of .* wanted exactly a quarter"),
    ],
)
def test_outputs_are_checked(outputs: tuple[str, ...], words: str, both: ModelFile) -> None:
    with pytest.raises(ValueError, match=words):
        Model(replace(both, graph=replace(both.graph, outputs=outputs)), threads=1)


def test_an_intermediate_result_may_be_an_output() -> None:
    add = {"activation": "none"}
    nodes = (NodeSpec("add", "a", ("x", "x"), add), NodeSpec("add", "b", ("a", "x"), add))
    graph = GraphSpec("x", 2, nodes, ("b", "a"))
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 2, 2)
    b, a = graph.compile({}, threads=1, isa=None).run_all(x)
    np.testing.assert_array_equal(a, 2 * x)
    np.testing.assert_array_equal(b, 3 * x)
