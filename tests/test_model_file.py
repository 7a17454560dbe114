"""The container against the safetensors package, and the model file against itself."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_model_file
from lpn_core import model_file, safetensors_file
from lpn_core.model_file import ModelFileError
from lpn_core.safetensors_file import SafetensorsError, StoredTensor

NUMPY_TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


def _arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays = {f"x.{t}": (generator.normal(0, 50, (3, 5)) ** 2).astype(t) for t in NUMPY_TYPES}
    arrays["scalar"] = np.array(3.5, np.float32)
    arrays["empty"] = np.zeros((0, 4), np.float32)
    arrays["naïve"] = np.arange(4, dtype=np.int32)
    return arrays


def test_safetensors_reads_what_we_write(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors")
    path = tmp_path / "größe und mehr.safetensors"
    arrays = _arrays()
    stored = {name: StoredTensor.from_array(array) for name, array in arrays.items()}
    safetensors_file.write(path, stored, {"a": "b", "ü": "✓"})
    with reference.safe_open(path, "numpy") as file:
        assert file.metadata() == {"a": "b", "ü": "✓"}
        assert set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            found = file.get_tensor(name)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array, strict=True)


def test_we_read_what_safetensors_writes(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "other.safetensors"
    arrays = _arrays()
    reference.save_file(arrays, path, metadata={"k": "v"})
    tensors, metadata = safetensors_file.read(path)
    assert metadata == {"k": "v"}
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name].to_array(), array, strict=True)


def test_bfloat16_rounds_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(1).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    values = bits.view(np.float32)
    # Ties to even, the largest numbers, signed zeros, infinities.
    special = np.array(
        [0x3F808000, 0x3F818000, 0x7F7FFFFF, 0xFF7FFFFF, 0x80000000, 0x7F800000, 0x00000001],
        np.uint32,
    )
    values = np.concatenate([values, special.view(np.float32)])
    stored = StoredTensor.from_array(values, bfloat16=True)
    ours = stored.to_array()
    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    assert (np.isnan(ours) == np.isnan(values)).all()
    clear = ~np.isnan(values)
    np.testing.assert_array_equal(ours[clear].view(np.uint32), theirs[clear].view(np.uint32))
    # What is a bfloat16 already comes back as it was.
    again = StoredTensor.from_array(ours, bfloat16=True)
    assert bytes(again.data)[:1000] == bytes(stored.data)[:1000]


def test_bfloat16_file_is_read_by_safetensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    values = np.random.default_rng(2).normal(size=(7, 9)).astype(np.float32)
    path = tmp_path / "half.safetensors"
    safetensors_file.write(path, {"x": StoredTensor.from_array(values, bfloat16=True)}, {})
    found = reference.load_file(path)["x"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, torch.from_numpy(values).bfloat16())


def _file(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def _entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


DAMAGED = {
    "empty": (b"", "0 bytes"),
    "short": (b"\1\0\0", "3 bytes; a safetensors file starts with an 8-byte length"),
    "length beyond the end": (struct.pack("<Q", 99) + b"{}", "header length at byte 0 is 99"),
    "length beyond reason": (b"\xff" * 64, "header length at byte 0 is 18446744073709551615"),
    "not JSON": (_file(b'{"x": }'), "not JSON at byte 14"),
    "not UTF-8": (_file(b'{"\xff": 1}'), "not UTF-8 at byte 10"),
    "not an object": (_file([1]), "a JSON list, not an object"),
    "nested too deeply": (_file(b"[" * 100_000), "header (cannot be read|is nested)"),
    "number too long": (_file(b'{"x": ' + b"9" * 5000 + b"}"), "header cannot be read"),
    "duplicate": (
        _file(b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}}'),
        "'x' twice",
    ),
    "metadata of numbers": (_file({"__metadata__": {"a": 1}}), "__metadata__ is not an object of"),
    "missing dtype": (_file({"x": {"shape": [1]}}), "'x': wanted exactly dtype, shape"),
    "unknown dtype": (_file({"x": _entry("F31")}, b"\0" * 8), "'x': unknown dtype 'F31'; known"),
    "negative size": (_file({"x": _entry(shape=[-2])}, b"\0" * 8), r"'x': shape \[-2\]"),
    "size of true": (_file({"x": _entry(shape=[True])}, b"\0" * 8), r"'x': shape \[True\]"),
    "three offsets": (_file({"x": _entry(offsets=[0, 8, 8])}, b"\0" * 8), "are not .begin, end."),
    "reversed offsets": (_file({"x": _entry(offsets=[8, 0])}, b"\0" * 8), "are not .begin, end."),
    "shape and offsets differ": (
        _file({"x": _entry(shape=[3])}, b"\0" * 8),
        r"'x': F32 \(3,\) takes 12 bytes, data_offsets \[0, 8\] hold 8",
    ),
    "truncated": (_file({"x": _entry()}, b"\0" * 7), "ends at byte 8 of the data, which has 7"),
    "trailing bytes": (_file({"x": _entry()}, b"\0" * 9), "end at byte 8 of the data, which has 9"),
    "overlap": (
        _file({"x": _entry(), "y": _entry(offsets=[4, 12])}, b"\0" * 12),
        "'y' overlaps the tensor before it: begins at byte 4 of the data, wanted 8",
    ),
    "gap": (
        _file({"x": _entry(), "y": _entry(offsets=[12, 20])}, b"\0" * 20),
        "'y' leaves a gap before it: begins at byte 12 of the data, wanted 8",
    ),
    "pickle": (b"\x80\x04K\x01.", "pickle or a PyTorch checkpoint.*lpn convert"),
    "zip": (b"PK\x03\x04 and so on", "pickle or a PyTorch checkpoint.*lpn convert"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_containers(case: str, tmp_path: Path) -> None:
    content, words = DAMAGED[case]
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(SafetensorsError, match=words) as caught:
        safetensors_file.read(path)
    assert str(path) in str(caught.value)


def _assert_same(found: model_file.ModelFile, wanted: model_file.ModelFile) -> None:
    for field in ("name", "graph", "input", "decode", "keypoints", "provenance"):
        assert getattr(found, field) == getattr(wanted, field)
    assert found.weights.keys() == wanted.weights.keys()
    for name, array in wanted.weights.items():
        np.testing.assert_array_equal(found.weights[name], array, strict=True)
    np.testing.assert_array_equal(found.self_test.crops, wanted.self_test.crops, strict=True)
    np.testing.assert_array_equal(found.self_test.keypoints, wanted.self_test.keypoints)


@pytest.mark.parametrize("keypoint_set", ["coco17", "mpii16", "crowdpose14"])
def test_round_trip(keypoint_set: str, tmp_path: Path) -> None:
    wanted = tiny_model_file(keypoint_set)
    path = tmp_path / "モデル 1.safetensors"
    model_file.write(path, wanted)
    _assert_same(model_file.read(path), wanted)
    first = path.read_bytes()
    model_file.write(path, model_file.read(path))
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_bfloat16_rounds_matrices_only(tiny: model_file.ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    model_file.write(path, tiny, "bfloat16")
    found = model_file.read(path)
    rounded = model_file.round_weights(tiny.weights, "bfloat16")
    _assert_same(found, replace(tiny, weights=rounded))
    assert not np.array_equal(rounded["head.weight"], tiny.weights["head.weight"])
    np.testing.assert_array_equal(rounded["head.bias"], tiny.weights["head.bias"])


def _document(path: Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    tensors, metadata = safetensors_file.read(path)
    return json.loads(metadata["lpn_core"]), tensors


def _rewrite(path: Path, document: object, tensors: dict[str, StoredTensor]) -> None:
    """Writes a document with the SHA-256 that belongs to it."""
    text = document if isinstance(document, str) else json.dumps(document)
    digest = model_file._digest(text, tensors)
    safetensors_file.write(path, tensors, {"lpn_core": text, "lpn_core_sha256": digest})


def test_every_missing_field_is_named(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    paths: list[tuple[str, ...]] = []
    for key in list(document):
        if isinstance(document[key], dict):
            paths += [(key, inner) for inner in document[key]]
        else:
            paths.append((key,))
    path = tmp_path / "cut.safetensors"
    for where in paths:
        cut = json.loads(json.dumps(document))
        parent = cut if len(where) == 1 else cut[where[0]]
        del parent[where[-1]]
        _rewrite(path, cut, tensors)
        with pytest.raises(ModelFileError, match=f"missing fields: {'.'.join(where)}$"):
            model_file.read(path)


def test_all_missing_fields_are_listed_at_once(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    del document["decode"]["beta"], document["input"]["mean"], document["provenance"]["ap"]
    del document["graph"]["nodes"][0]["inputs"]
    document["input"]["size"] = 3
    document["name"] = 5
    path = tmp_path / "cut.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError) as caught:
        model_file.read(path)
    for words in (
        "missing fields: input.mean, decode.beta, provenance.ap, graph.nodes[0].inputs",
        "unknown fields: input.size",
        "wrong fields: name (wanted a string)",
    ):
        assert words in str(caught.value)


WRONG = {
    "version": ("format_version", 2, "format_version is 2; this lpn_core reads 1"),
    "height of 0": ("input.height", 0, "input height is 0"),
    "huge width": ("input.width", 10**30, "wrong fields: input.width"),
    "channel order": ("input.channel_order", "grb", "channel_order is 'grb'; wanted 'rgb' or"),
    "two means": ("input.mean", [0.1, 0.2], "input mean is .* wanted three"),
    "std of 0": ("input.std", [0.1, 0.0, 0.1], "input std is .* wanted positive"),
    "padding": ("input.padding", -1, "padding is -1; wanted a positive"),
    "affine": ("input.affine", "corner", "affine is 'corner'; wanted 'center'"),
    "decode": ("decode.kind", "dark", "decode kind is 'dark'; wanted 'soft_argmax' or 'argmax'"),
    "argmax with beta": ("decode.kind", "argmax", "beta is 160.0; wanted null"),
    "no beta": ("decode.beta", None, "beta is None; wanted a positive number"),
    "quarter step of 1": ("decode.quarter_step", 1, "decode.quarter_step .wanted true or false."),
    "negative shift": ("decode.flip_shift", -1, "flip_shift is -1"),
    "huge shift": (
        "decode.flip_shift",
        12,
        "flip_shift is 12; wanted less than the heatmaps' width, 12 for an input 48 wide",
    ),
    "keypoints": ("keypoints", "coco18", "unknown keypoint set 'coco18'; known: coco17"),
    "other joints": (
        "keypoints",
        "mpii16",
        r"self_test.keypoints are \(2, 17, 2\); wanted \(2, 16",
    ),
    "self-test": ("self_test.keypoints", [[1], [1, 2]], "self_test.keypoints are not numbers"),
    "AP of text": ("provenance.ap", "0.7", "provenance.ap .wanted a number or null."),
    "nodes": ("graph.nodes", {}, "graph.nodes .wanted a list."),
    "node": ("graph.nodes", [7], r"graph.nodes\[0\] .wanted an object."),
    "no weights": ("graph.nodes", [], "left-over tensors: head.bias, head.weight"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_fields(case: str, tiny_path: Path, tmp_path: Path) -> None:
    where, value, words = WRONG[case]
    document, tensors = _document(tiny_path)
    *parents, last = where.split(".")
    target = document
    for key in parents:
        target = target[key]
    target[last] = value
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError, match=words) as caught:
        model_file.read(path)
    assert str(path) in str(caught.value)


def test_wrong_tensors(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    bias = tensors["head.bias"]
    half = StoredTensor.from_array(bias.to_array().astype(np.float16))
    for changed, words in (
        ({k: v for k, v in tensors.items() if k != "head.bias"}, "missing tensors: head.bias"),
        ({**tensors, "extra": bias}, "left-over tensors: extra"),
        ({**tensors, "head.bias": half}, r"not F32 or BF16: head.bias \(F16\)"),
        (
            {**tensors, "self_test.crops": bias},
            r"self_test.crops is F32 \(17,\); wanted U8 \(2, 64",
        ),
        (
            {k: v for k, v in tensors.items() if k != "self_test.crops"},
            "'self_test.crops' is missing",
        ),
    ):
        _rewrite(path, document, changed)
        with pytest.raises(ModelFileError, match=words):
            model_file.read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "[" * 100_000])
def test_documents_that_are_not(text: str, tiny_path: Path, tmp_path: Path) -> None:
    _, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, text, tensors)
    with pytest.raises(ModelFileError, match="metadata document is not"):
        model_file.read(path)


def test_any_flipped_bit_is_noticed(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    path = tmp_path / "flipped.safetensors"
    generator = np.random.default_rng(4)
    header = 8 + int.from_bytes(content[:8], "little")
    # The header ends with up to seven spaces that mean nothing.
    positions = [*range(8), *generator.integers(8, header - 8, 150)]
    positions += generator.integers(header, len(content), 100).tolist()
    wanted = model_file.read(tiny_path)
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        try:
            found = model_file.read(path)
        except ModelFileError:
            continue
        _assert_same(found, wanted)


def test_truncated_anywhere(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(0, len(content), max(1, len(content) // 97)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            model_file.read(path)


def test_failed_write_leaves_nothing(tiny: model_file.ModelFile, tmp_path: Path) -> None:
    bad = replace(tiny, weights={"head.weight": tiny.weights["head.weight"]})
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelFileError, match=r"missing tensors: head.bias"):
        model_file.write(path, bad)
    with pytest.raises(ValueError, match="dtype is 'int8'; wanted one of float32, bfloat16"):
        model_file.write(path, tiny, "int8")
    with pytest.raises(FileNotFoundError):
        model_file.write(tmp_path / "absent" / "x.safetensors", tiny)
    assert list(tmp_path.iterdir()) == []
