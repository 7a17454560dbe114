"""CRC-32C of bytes and of parts of files, on every tier, against a division bit by bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import lpn_core._core as _core
import numpy as np
import pytest

POLYNOMIAL = 0x11EDC6F41


@cache
def _divide(content: bytes) -> int:
    """The definition (RFC 3720, 12.1) in long integers: a remainder, its bits turned around."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in content)
    message = int(bits + "0" * 32, 2) ^ (0xFFFFFFFF << len(bits))
    for place in range(len(bits) + 31, 31, -1):
        if message >> place & 1:
            message ^= POLYNOMIAL << (place - 32)
    return int(f"{message:032b}"[::-1], 2) ^ 0xFFFFFFFF


def _bytes(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


@pytest.mark.parametrize("isa", [None, *_core.supported_isas()])
def test_examples_of_rfc_3720(isa: str | None) -> None:
    rising = bytes(range(32))
    for content, wanted in (
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (rising, 0x46DD794E),
        (rising[::-1], 0x113FDB5C),
        (b"", 0),
    ):
        assert _core.crc32c((content,), isa) == wanted
        assert _divide(content) == wanted


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_lengths_and_offsets(isa: str) -> None:
    # Some of them at the stretches that are taken three at a time: 1536 bytes.
    for size in (1, 2, 7, 8, 9, 63, 1535, 1536, 1537, 3079):
        content = _bytes(size + 3)
        for offset in (0, 1, 3):
            view = memoryview(content)[offset : offset + size]
            assert _core.crc32c((view,), isa) == _divide(bytes(view)), (size, offset)


def test_parts_of_a_file_and_bytes_between_them(tmp_path: Path) -> None:
    content = _bytes(200_000)  # several blocks of a file
    path = tmp_path / "content"
    path.write_bytes(content)
    with path.open("rb") as file:
        stored = _core.StoredFile(file.fileno(), "content")
    cuts = [0, 1, 1, 9, 70_000, 199_999]
    parts = (
        content[:1],
        _core.StoredPart(stored, 1, 1),
        memoryview(content)[1:9],
        _core.StoredPart(stored, 9, 70_000),
        _core.StoredPart(stored, 70_000, 199_999),
        bytearray(content[199_999:]),
    )
    assert len(cuts) == len(parts)
    whole = _core.crc32c((content,))
    assert _core.crc32c(parts) == whole
    assert {_core.crc32c((content,), isa) for isa in _core.supported_isas()} == {whole}


def test_a_part_that_changed_after_its_checksum_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(bytes(100_000))
    with path.open("rb") as file:
        part = _core.StoredPart(_core.StoredFile(file.fileno(), "content"), 0, 100_000)
    wanted = _core.crc32c((part,))
    assert _core.crc32c((part.read(),)) == wanted
    path.write_bytes(bytes(99_999) + b"1")
    for call in (part.read, lambda: _core.crc32c((part,))):
        with pytest.raises(OSError, match="content was written to after it was loaded"):
            call()


def test_what_has_no_bytes_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        _core.crc32c(("text",))  # a str
    with pytest.raises(ValueError, match="contiguous"):
        _core.crc32c((np.zeros((4, 4), np.uint8)[:, ::2],))
    with pytest.raises(ValueError, match="mmx"):
        _core.crc32c((b"",), "mmx")
