"""The two checksums of a model file: over which bytes, and that every one of them is checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from helpers import assemble, assert_same
from lpn_core import model_file
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.file import check_sha256, stored_sha256
from lpn_core.model.safetensors import StoredTensor
from lpn_core.model_file import ModelFileError


def _covered(document: str, tensors: dict[str, StoredTensor]) -> bytes:
    """The bytes that docs/model-file.md has both checksums cover."""
    content = document.encode()
    for name in sorted(tensors):
        tensor = tensors[name]
        sizes = ", ".join(map(str, tensor.shape))
        content += f"\n{name} {tensor.dtype} [{sizes}]\n".encode() + bytes(tensor.data)
    return content


def _crc32c(content: bytes) -> str:
    """By its definition, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return f"{crc ^ 0xFFFFFFFF:08x}"


def test_checksums_are_those_of_the_documented_bytes(tiny_path: Path) -> None:
    tensors, metadata = safetensors_file.read(tiny_path)
    content = _covered(metadata["lpn_core"], tensors)
    assert metadata["lpn_core_sha256"] == hashlib.sha256(content).hexdigest()
    assert metadata["lpn_core_crc32c"] == _crc32c(content)
    assert stored_sha256(tiny_path) == check_sha256(tiny_path) == metadata["lpn_core_sha256"]


DAMAGED = r"does not have the {} that '{}' says: the file is damaged; get it anew$"


@pytest.mark.parametrize("key", ["lpn_core_crc32c", "lpn_core_sha256"])
def test_every_covered_region_is_checked(key: str, tiny_path: Path, tmp_path: Path) -> None:
    """By the CRC; by the SHA-256 in files from before there was one."""
    tensors, metadata = safetensors_file.read(tiny_path)
    if key == "lpn_core_sha256":
        del metadata["lpn_core_crc32c"]
    path = tmp_path / "changed.safetensors"
    assemble(path, metadata, tensors)
    assert_same(model_file.read(path), model_file.read(tiny_path))
    weight, bias = tensors["head.weight"], tensors["head.bias"]
    bits = bytearray(weight.data)
    bits[len(bits) // 2] ^= 1
    crops = tensors["self_test.crops"]
    changed: dict[str, tuple[dict[str, str], dict[str, StoredTensor]]] = {
        "document": ({"lpn_core": metadata["lpn_core"].replace("tiny", "tinz")}, {}),
        "tensor": ({}, {"head.weight": weight._replace(content=memoryview(bytes(bits)))}),
        "shape": ({}, {"head.bias": bias._replace(shape=(1, *bias.shape))}),
        "type": ({}, {"self_test.crops": crops._replace(dtype="BOOL")}),
        "names": ({}, {"head.weight": bias, "head.bias": weight}),
        "checksum": ({key: metadata[key][:-1] + ("0" if metadata[key][-1] != "0" else "1")}, {}),
    }
    if key == "lpn_core_crc32c":
        changed["capitals"] = ({key: metadata[key].upper()}, {})
    wanted = DAMAGED.format("CRC-32C" if key == "lpn_core_crc32c" else "SHA-256", key)
    for region, (words, arrays) in changed.items():
        assemble(path, metadata | words, tensors | arrays)
        with pytest.raises(ModelFileError, match=wanted) as caught:
            model_file.read(path)
        assert str(path) in str(caught.value), region


def test_the_sha256_is_always_there_and_checked_on_request(tiny_path: Path, tmp_path: Path) -> None:
    tensors, metadata = safetensors_file.read(tiny_path)
    path = tmp_path / "other.safetensors"
    assemble(path, metadata | {"lpn_core_sha256": "0" * 64}, tensors)
    model_file.read(path)
    assert stored_sha256(path) == "0" * 64
    with pytest.raises(ModelFileError, match=DAMAGED.format("SHA-256", "lpn_core_sha256")):
        check_sha256(path)
    del metadata["lpn_core_sha256"]
    assemble(path, metadata, tensors)
    for call in (model_file.read, stored_sha256, check_sha256):
        with pytest.raises(ModelFileError, match="the metadata key 'lpn_core_sha256' is missing"):
            call(path)


@pytest.mark.parametrize("digest", ["", "506e", "A" * 64, "\x1b[31m" + "0" * 64, "g" * 64])
def test_a_sha256_is_64_digits(digest: str, tiny_path: Path, tmp_path: Path) -> None:
    """It is shown as it is: nothing else gets as far."""
    tensors, metadata = safetensors_file.read(tiny_path)
    path = tmp_path / "changed.safetensors"
    assemble(path, dict(metadata) | {"lpn_core_sha256": digest}, dict(tensors))
    wanted = r"'lpn_core_sha256' is .*wanted 64 hexadecimal digits"
    with pytest.raises(ModelFileError, match=wanted) as caught:
        model_file.read(path)
    assert "\x1b" not in str(caught.value)
