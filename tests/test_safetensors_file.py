"""The container against the safetensors package, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import entry, file_of
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.safetensors import SafetensorsError, StoredTensor

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


DAMAGED = {
    "empty": (b"", "0 bytes"),
    "short": (b"\1\0\0", "3 bytes; a safetensors file starts with an 8-byte length"),
    "length beyond the end": (struct.pack("<Q", 99) + b"{}", "header length at byte 0 is 99"),
    "length beyond reason": (b"\xff" * 64, "header length at byte 0 is 18446744073709551615"),
    "not JSON": (file_of(b'{"x": }'), "not JSON at byte 14"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "not UTF-8 at byte 10"),
    "not an object": (file_of([1]), "a JSON list, not an object"),
    "nested too deeply": (file_of(b"[" * 100_000), "header (cannot be read|is nested)"),
    "number too long": (file_of(b'{"x": ' + b"9" * 5000 + b"}"), "header cannot be read"),
    "duplicate": (
        file_of(b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}}'),
        "'x' twice",
    ),
    "metadata of numbers": (
        file_of({"__metadata__": {"a": 1}}),
        "__metadata__ is not an object of",
    ),
    "missing dtype": (file_of({"x": {"shape": [1]}}), "'x': wanted exactly dtype, shape"),
    "unknown dtype": (
        file_of({"x": entry("F31")}, b"\0" * 8),
        "'x': unknown dtype 'F31'; known",
    ),
    "negative size": (file_of({"x": entry(shape=[-2])}, b"\0" * 8), r"'x': shape \[-2\]"),
    "size of true": (
        file_of({"x": entry(shape=[True])}, b"\0" * 8),
        r"'x': shape \[True\]",
    ),
    "33 axes": (
        file_of({"x": entry(shape=[1] * 33)}, b"\0" * 8),
        r"'x': shape .*at most 32 sizes",
    ),
    "sizes of 4000 digits": (
        file_of({"x": entry(shape=[10**4000] * 3)}, b"\0" * 8),
        r"'x': shape \[10+[.]{3}.* is not a list of at most 32 sizes, their product in 63 bits",
    ),
    "sizes beyond 63 bits": (
        file_of({"x": entry(shape=[0, 1 << 40, 1 << 40], offsets=[0, 0])}),
        r"'x': shape \[0, 1099511627776, 1099511627776\] is not .* product in 63 bits",
    ),
    "nested shape": (
        file_of(
            b'{"x":{"dtype":"F32","shape":' + b"[" * 900 + b"]" * 900 + b',"data_offsets":[0,0]}}'
        ),
        "'x': shape .*... is not a list|header cannot be read",
    ),
    "half a surrogate pair": (
        file_of({"\ud800": entry()}, b"\0" * 8),
        r"'.ud800': the name is not",
    ),
    "three offsets": (
        file_of({"x": entry(offsets=[0, 8, 8])}, b"\0" * 8),
        "are not .begin, end.",
    ),
    "reversed offsets": (
        file_of({"x": entry(offsets=[8, 0])}, b"\0" * 8),
        "are not .begin, end.",
    ),
    "shape and offsets differ": (
        file_of({"x": entry(shape=[3])}, b"\0" * 8),
        r"'x': F32 \(3,\) takes 12 bytes, data_offsets \[0, 8\] hold 8",
    ),
    "truncated": (
        file_of({"x": entry()}, b"\0" * 7),
        "ends at byte 8 of the data, which has 7",
    ),
    "trailing bytes": (
        file_of({"x": entry()}, b"\0" * 9),
        "end at byte 8 of the data, which has 9",
    ),
    "overlap": (
        file_of({"x": entry(), "y": entry(offsets=[4, 12])}, b"\0" * 12),
        "'y' overlaps the tensor before it: begins at byte 4 of the data, wanted 8",
    ),
    "gap": (
        file_of({"x": entry(), "y": entry(offsets=[12, 20])}, b"\0" * 20),
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
