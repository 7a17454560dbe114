"""The safetensors container: 8 bytes of header length, a JSON header, tensors without gaps.

Reader and writer of one file; tests hold both to the ``safetensors`` package.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lpn_core import _core
from lpn_core._json import is_text, load_unique
from lpn_core._text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The same bound as the safetensors package: a damaged length must not allocate the machine away.
_MAX_HEADER_BYTES = 100_000_000
# What every NumPy can index.
_MAX_AXES = 32
_MAX_BYTES = (1 << 63) - 1
# A zip archive (torch.save) and pickles of protocol 2 to 5.
_PICKLE_MARKS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


class SafetensorsError(ValueError):
    """A file that is not a well-formed safetensors file."""


class StoredTensor(NamedTuple):
    """A tensor as it lies in a file.

    Attributes:
        dtype: the name that safetensors gives its type, such as "F32".
        shape: of the tensor.
        content: its little-endian bytes in C order, in memory or still in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    content: memoryview | _core.StoredPart

    @property
    def data(self) -> memoryview:
        """The bytes, read where they are not in memory.

        Raises:
            OSError: the file cannot be read, or was written to since it was loaded.
        """
        return _data(self.content)

    @classmethod
    def from_array(cls, array: NDArray[Any], *, bfloat16: bool = False) -> StoredTensor:
        """Stores an array; ``bfloat16`` rounds float32 to nearest, ties to even."""
        array = np.asarray(array, order="C")
        shape = array.shape
        if bfloat16:
            name, array = "BF16", _round_to_bfloat16(array)
        else:
            little = array.dtype.newbyteorder("<")
            name = next((n for n, d in _DTYPES.items() if d == little and n != "BF16"), "")
            if not name:
                raise TypeError(f"safetensors has no type for {array.dtype}")
            array = array.astype(little, copy=False)
        return cls(name, shape, memoryview(array.tobytes()))

    def view(self) -> NDArray[Any]:
        """The tensor's bytes as a read-only array; BF16 as the bits of its numbers."""
        array: NDArray[Any] = np.frombuffer(self.data, _DTYPES[self.dtype]).reshape(self.shape)
        array.flags.writeable = False
        return array

    def to_array(self) -> NDArray[Any]:
        """The tensor as an array of its own; BF16 becomes float32, exactly."""
        array = self.view()
        if self.dtype == "BF16":
            bits: NDArray[np.uint32] = array.astype(np.uint32) << np.uint32(16)
            return bits.view(np.float32)
        return array.astype(array.dtype.newbyteorder("="))

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.dtype, self.shape, bytes(self.data))


def _restore(dtype: str, shape: tuple[int, ...], data: bytes) -> StoredTensor:
    return StoredTensor(dtype, shape, memoryview(data))


class StoredArrays(Mapping[str, "NDArray[np.float32]"]):
    """Stored tensors as float32 arrays, each made when it is asked for.

    Those of a file stay in it until then. To change one, put it into a dict:
    ``{**arrays, name: changed}``.
    """

    def __init__(
        self,
        tensors: Mapping[str, StoredTensor],
        factors: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        """Wraps tensors by name: F32 and BF16, and those that are integers times ``factors``."""
        self._tensors = tensors
        self._factors = factors or {}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self._tensors[name].to_array()
        if name in self._factors:
            return array.astype(np.float32) * self._factors[name]
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def integers(self) -> frozenset[str]:
        """Names of those that are stored as integers."""
        return frozenset(self._factors)

    def for_engine(self, name: str) -> NDArray[Any] | _core.StoredWeight:
        """As the engine takes it without a copy: read-only, float32 or the bits of bfloat16.

        Matrices and kernels stay in their file, and only they stay bfloat16.
        """
        dtype, shape, content = tensor = self._tensors[name]
        if name in self._factors:
            return self[name]
        matrix = len(shape) >= 2
        if matrix and not isinstance(content, memoryview) and sys.byteorder == "little":
            return _core.StoredWeight(content, dtype, shape)
        view = tensor.view()
        exact = view.flags.aligned and view.dtype.isnative
        return view if exact and (dtype == "F32" or matrix) else tensor.to_array()


def _round_to_bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    if array.dtype != np.float32:
        raise TypeError(f"only float32 can be stored as bfloat16, not {array.dtype}")
    bits = array.reshape(-1).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry a NaN into infinity; it stays a (quiet) NaN.
    return np.where(np.isnan(array.reshape(-1)), (bits >> 16) | 0x40, rounded).astype("<u2")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Reads a safetensors file: what is in it; the tensors are read when they are wanted.

    They are those of the file as it is now, if it is deleted or replaced later, too; of one that is
    written to, they cannot be read any more.

    Returns:
        The tensors by name and the metadata.

    Raises:
        SafetensorsError: not a safetensors file, or a damaged one; says what is wrong where.
        OSError: the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        content: memoryview | _core.StoredFile
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            content = _core.StoredFile(file.fileno(), printable(os.fsdecode(path)))
        else:
            content = memoryview(file.readall())  # a pipe is read once
    try:
        return _parse(content)
    except SafetensorsError as error:
        raise SafetensorsError(f"{os.fspath(path)}: {error}") from None


def _part(
    content: memoryview | _core.StoredFile, begin: int, end: int
) -> memoryview | _core.StoredPart:
    if isinstance(content, memoryview):
        return content[begin:end]
    return _core.StoredPart(content, begin, end)


def _data(content: memoryview | _core.StoredPart) -> memoryview:
    return content if isinstance(content, memoryview) else memoryview(content.read())


def _size(content: memoryview | _core.StoredPart | _core.StoredFile) -> int:
    return content.nbytes if isinstance(content, memoryview) else content.size


def _parse(
    content: memoryview | _core.StoredFile,
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    whole = _size(content)
    start = bytes(_data(_part(content, 0, min(8, whole))))
    length = int.from_bytes(start, "little")
    if whole < 8 or length > _MAX_HEADER_BYTES or 8 + length > whole:
        # Only now: the first bytes of a sound file are its header's length, and may be any.
        if start[:2] in _PICKLE_MARKS:
            raise SafetensorsError(
                "this is a pickle or a PyTorch checkpoint, not a safetensors file; "
                "`lpn convert` makes a model file of a checkpoint"
            )
        if whole < 8:
            raise SafetensorsError(
                f"the file has {whole} bytes; a safetensors file starts with an 8-byte length"
            )
        raise SafetensorsError(
            f"the header length at byte 0 is {length}, but the file has {whole} bytes; "
            "it is truncated or not a safetensors file"
        )
    first = 8 + length
    header = _parse_header(bytes(_data(_part(content, 8, first))))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise SafetensorsError("__metadata__ is not an object of strings")
    size = whole - first
    tensors = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = _parse_tensor(name, entry, size)
        part = _part(content, first + begin, first + end)
        # Vectors, such as biases, are small, and the engine keeps them as they are.
        tensors[name] = StoredTensor(dtype, shape, part if len(shape) >= 2 else _data(part))
    _check_coverage(header, size)
    return tensors, metadata


def _parse_header(header: bytes) -> dict[str, Any]:
    try:
        document = load_unique(header.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SafetensorsError(f"the header is not UTF-8 at byte {8 + error.start}") from None
    except json.JSONDecodeError as error:
        raise SafetensorsError(
            f"the header is not JSON at byte {8 + error.pos}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"the header cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise SafetensorsError(f"the header is a JSON {type(document).__name__}, not an object")
    return document


def _parse_tensor(
    name: str, entry: object, size: int
) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Type, shape and the place of its bytes among the ``size`` of all tensors."""
    if not is_text(name):
        raise SafetensorsError(f"tensor {name!r}: the name is not valid Unicode")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"tensor {name!r}: wanted exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise SafetensorsError(
            f"tensor {name!r}: unknown dtype {reprlib.repr(dtype)}; known: {', '.join(_DTYPES)}"
        )
    # Zeros count as ones: NumPy wants the strides of an empty array to fit, too.
    if not _are_sizes(shape, _MAX_AXES) or (
        math.prod(size or 1 for size in shape) * _DTYPES[dtype].itemsize > _MAX_BYTES
    ):
        raise SafetensorsError(
            f"tensor {name!r}: shape {reprlib.repr(shape)} is not a list of at most {_MAX_AXES} "
            "sizes, their product in 63 bits"
        )
    if not _are_sizes(offsets, 2) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise SafetensorsError(
            f"tensor {name!r}: data_offsets {reprlib.repr(offsets)} are not [begin, end]"
        )
    begin, end = offsets
    if end > size:
        raise SafetensorsError(
            f"tensor {name!r}: ends at byte {end} of the data, which has {size} bytes; "
            "the file is truncated"
        )
    wanted = math.prod(shape) * _DTYPES[dtype].itemsize
    if end - begin != wanted:
        raise SafetensorsError(
            f"tensor {name!r}: {dtype} {tuple(shape)} takes {wanted} bytes, "
            f"data_offsets {offsets} hold {end - begin}"
        )
    return dtype, tuple(shape), (begin, end)


def _are_sizes(value: object, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(v) is int and 0 <= v <= _MAX_BYTES for v in value)
    )


def _check_coverage(header: Mapping[str, Any], size: int) -> None:
    position = 0
    entries = sorted((entry["data_offsets"], name) for name, entry in header.items())
    for (begin, end), name in entries:
        if begin != position:
            what = "overlaps the tensor before it" if begin < position else "leaves a gap before it"
            raise SafetensorsError(
                f"tensor {name!r} {what}: begins at byte {begin} of the data, wanted {position}"
            )
        position = end
    if position != size:
        raise SafetensorsError(
            f"the tensors end at byte {position} of the data, which has {size} bytes"
        )


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, StoredTensor],
    metadata: Mapping[str, str],
) -> None:
    """Writes a safetensors file, all of it or nothing.

    Raises:
        OSError: the folder is missing or not writable.
    """
    from lpn_core._files import write_atomically

    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    # Wide types first, as the safetensors package does: every tensor is aligned to its item size.
    names = sorted(tensors, key=lambda name: (-_DTYPES[tensors[name].dtype].itemsize, name))
    position = 0
    for name in names:
        tensor = tensors[name]
        end = position + _size(tensor.content)
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)

    def chunks() -> Iterator[bytes | memoryview]:
        yield len(encoded).to_bytes(8, "little")
        yield encoded
        for name in names:
            yield tensors[name].data

    write_atomically(path, chunks())
