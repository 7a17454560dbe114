"""Files that are not what they should be: each with its exception and the words that help."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from lpn_core import ModelFileError, PoseEstimator, model_file
from lpn_core.model_file import ModelFile

BOX = [[0, 0, 20, 30]]


def _png(mode: str, **options: Any) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new(mode, (30, 40)).save(buffer, **options)
    return buffer.getvalue()


def _png_of_16_bit_colour() -> bytes:
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 20, 3)).astype(np.uint16)
    return bytes(cv2.imencode(".png", pixels)[1])


IMAGE_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not an image"),
    "text": (lambda: b"hello", "not an image"),
    "truncated png": (
        lambda: _png("RGB", format="PNG")[:-40],
        "a damaged image|not an image",
    ),
    "truncated jpeg": (
        lambda: _png("RGB", format="JPEG")[:300],
        "a damaged image|not an image",
    ),
    "16-bit grey": (lambda: _png("I;16", format="PNG"), "wanted 8 bits per channel"),
    "16-bit colour": (_png_of_16_bit_colour, "16 bits per channel; wanted 8 bits"),
    "32-bit grey": (lambda: _png("I", format="TIFF"), "'I'; wanted 8 bits per channel"),
    "float": (lambda: _png("F", format="TIFF"), "'F'; wanted 8 bits per channel"),
}


@pytest.mark.parametrize("name", IMAGE_FILES)
def test_bad_image_file(name: str, estimator: PoseEstimator, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    make, words = IMAGE_FILES[name]
    path = tmp_path / "photo.png"
    path.write_bytes(make())
    with pytest.raises(ValueError, match=words) as caught:
        estimator(path, BOX)
    assert str(path) in str(caught.value)


def test_folder_as_image(estimator: PoseEstimator, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    with pytest.raises((IsADirectoryError, PermissionError), match=r"Is a directory|denied"):
        estimator(tmp_path, BOX)


def test_decompression_bomb(
    estimator: PoseEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "bomb.png"
    image.new("RGB", (300, 300)).save(path)
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"bomb\.png: 300 x 300 pixels; wanted at most 2,000"):
        estimator(path, BOX)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip_weight_bit(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 4]) + content[-4:]


def _without_metadata(_: bytes) -> bytes:
    header = json.dumps({"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0"


MODEL_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "the file has 0 bytes"),
    "truncated": (_cut, "truncated"),
    "bit-flipped": (
        _flip_weight_bit,
        "does not have the CRC-32C that 'lpn_core_crc32c' says: the file is damaged; get it anew",
    ),
    "without metadata": (_without_metadata, "without the metadata key 'lpn_core'.*lpn convert"),
    "pickle": (lambda _: pickle.dumps({"conv1.weight": [0.0] * 99}), "a pickle.*lpn convert"),
    "zip": (lambda _: b"PK\x03\x04" + b"\0" * 60, "a pickle or a PyTorch checkpoint"),
    "text": (lambda _: b"<!DOCTYPE html><html></html>", "truncated or not a safetensors file"),
}


@pytest.mark.parametrize("name", MODEL_FILES)
def test_bad_model_file(name: str, tiny_path: Path, tmp_path: Path) -> None:
    make, words = MODEL_FILES[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(make(tiny_path.read_bytes()))
    with pytest.raises(ModelFileError, match=words) as caught:
        lpn_core.load(path)
    assert str(path) in str(caught.value)


def test_folder_as_model(tmp_path: Path) -> None:
    with pytest.raises((IsADirectoryError, PermissionError), match=re.escape(str(tmp_path))):
        lpn_core.load(tmp_path)


def test_graph_that_is_not_consistent(tiny: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    node = tiny.graph.nodes[0]
    for changes, words in (
        ({"attributes": {**node.attributes, "stride": 0}}, 'node "head" .*"stride" is 0; it must'),
        ({"attributes": {**node.attributes, "stride": 2}}, "64 x 48 .* give heatmaps of 31 x 23"),
        ({"inputs": ("picture",)}, 'node "head" .* input "picture" is neither the graph.s input'),
    ):
        graph = replace(tiny.graph, nodes=(replace(node, **changes),))
        model_file.write(path, replace(tiny, graph=graph))
        with pytest.raises(ModelFileError, match=f"{path}: model 'tiny': .*{words}"):
            lpn_core.load(path)


def test_bad_option_is_no_bad_file(tiny_path: Path) -> None:
    with pytest.raises(ValueError, match="mmx") as caught:
        lpn_core.load(tiny_path, isa="mmx")
    assert caught.type is ValueError
