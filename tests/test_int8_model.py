"""int8 of model files: what loads, and that a photograph's bytes go in as they were cut."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace

import lpn_core
import numpy as np
import pytest
import reference
from helpers import lpn_state_dict, photograph, tiny_model_file
from lpn_core import Model, PoseEstimator, architectures
from lpn_core.model_file import ModelFile
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 48
BOXES = [[20.0, 10, 60, 80], [-30, 20, 70, 60], [90, 30, 90, 110]]


@pytest.fixture(scope="module")
def plain() -> ModelFile:
    graph, weights = architectures.build("lpn50", lpn_state_dict(50, "gc", seed=2))
    return tiny_model_file(graph=graph, weights=weights)


@pytest.fixture(scope="module")
def quantized(plain: ModelFile) -> ModelFile:
    crops = np.random.default_rng(3).integers(0, 256, (32, HEIGHT, WIDTH, 3), np.uint8)
    return lpn_core.quantize(plain, crops, threads=1)


def test_a_model_without_scales_says_how_to_get_them(plain: ModelFile) -> None:
    with pytest.raises(lpn_core.ModelFileError, match="no scales for int8; lpn quantize"):
        Model(plain, precision="int8")


def test_what_a_model_says(quantized: ModelFile) -> None:
    with Model(quantized, precision="int8") as model:
        assert model.precision == "int8"
        assert "int8" in repr(model)
        assert {step["precision"] for step in model.steps()} == {"fp32", "int8"}


def test_it_pickles(quantized: ModelFile) -> None:
    crops = np.random.default_rng(4).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    with (
        Model(quantized, precision="int8") as model,
        pickle.loads(pickle.dumps(model)) as other,
    ):
        assert other.precision == "int8"
        np.testing.assert_array_equal(other(crops), model(crops), strict=True)


def test_slower_than_fp32_is_said(quantized: ModelFile, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lpn_core"):
        Model(quantized, precision="int8", isa="scalar").close()
    assert "int8 is emulated on scalar" in caplog.text


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("network_order", ["rgb", "bgr"])
def test_poses_are_those_of_the_rounded_crops(
    quantized: ModelFile, network_order: str, order: str
) -> None:
    """Crops of an independent bilinear sampling, rounded: a byte may fall to the other side."""
    spec = replace(quantized.input, channel_order=network_order)
    model = Model(replace(quantized, input=spec), precision="int8", threads=2)
    photo = np.asarray(photograph(160, 200))
    centres, sizes = reference.padded_box(np.array(BOXES), WIDTH / HEIGHT, spec.padding)
    matrices = reference.crop_matrix(centres, sizes, WIDTH, HEIGHT)
    crops = np.stack([reference.bilinear_crop(photo, m, HEIGHT, WIDTH) for m in matrices])
    heatmaps = model(np.rint(crops).astype(np.uint8))
    beta = model.decode.beta
    found, _ = lpn_core.soft_argmax(heatmaps, layout="nhwc", beta=beta, quarter_step=True)
    to_image = reference.crop_matrix(centres, sizes, WIDTH // 4, HEIGHT // 4)
    expected = found @ to_image[:, :, :2].transpose(0, 2, 1) + to_image[:, None, :, 2]
    given = photo if order == "rgb" else photo[..., ::-1].copy()
    people = PoseEstimator(model)(given, BOXES, order=order)
    distance = np.linalg.norm(people.keypoints - expected, axis=-1)
    assert np.median(distance) < 0.01, distance


def test_float_nodes_stay_float(quantized: ModelFile) -> None:
    quantization = quantized.quantization
    assert quantization is not None
    kept = ("layer2.1.conv2", "conv1", "deconv_layers.6")
    mixed = replace(quantized, quantization=replace(quantization, float_nodes=kept))
    crops = np.random.default_rng(5).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    errors = {}
    with Model(quantized) as floats:
        exact = floats(crops)
    for name, file in (("int8", quantized), ("mixed", mixed)):
        with Model(file, precision="int8") as model:
            errors[name] = np.sqrt(((model(crops) - exact) ** 2).mean())
            steps = {step["name"]: step["precision"] for step in model.steps()}
        assert (steps["layer2.1.conv2"] == "fp32") == (name == "mixed")
    assert 0 < errors["mixed"] < errors["int8"]


def test_crops_that_were_normalised_are_the_same(quantized: ModelFile) -> None:
    crops: NDArray[np.uint8]
    crops = np.random.default_rng(6).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    with Model(quantized, precision="int8") as model:
        spec = model.input
        channels = crops[..., list(spec.channel_map("rgb"))]
        floats = (channels / 255 - np.array(spec.mean)) / np.array(spec.std)
        np.testing.assert_array_equal(
            model(floats.astype(np.float32, order="C")), model(crops), strict=True
        )
