"""The model file: a safetensors file with one JSON document. docs/model-file.md describes it.

:func:`read` and :func:`write` are each other's inverse.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lpn_core import _core
from lpn_core._text import printable
from lpn_core.model import safetensors
from lpn_core.model.document import Document, dump_document, load_document
from lpn_core.model.safetensors import StoredArrays, StoredTensor
from lpn_core.model.spec import ModelFile, ModelFileError, SelfTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DOCUMENT_KEY = "lpn_core"
_DIGEST_KEY = "lpn_core_sha256"
_CRC_KEY = "lpn_core_crc32c"
_SELF_TEST_TENSOR = "self_test.crops"
DTYPES = ("float32", "bfloat16")
_INTEGERS = "int8"

_Result = TypeVar("_Result")


def read(path: str | os.PathLike[str]) -> ModelFile:
    """Reads a model file.

    Raises:
        ModelFileError: not a model file, damaged, or fields missing (all of them are listed).
        OSError: the file cannot be read.
    """
    return _read_and(_decode, path)


def write(path: str | os.PathLike[str], model_file: ModelFile, dtype: str = "float32") -> None:
    """Writes a model file, all of it or nothing.

    Args:
        path: the file to make or replace.
        model_file: its content.
        dtype: "float32", or "bfloat16" to round the weights of two and more axes to nearest even.
            Its self-test must be that of the rounded weights: ``convert.make_model_file`` takes
            the same ``dtype``. "int8" keeps of a quantized model's weights what it computes with
            in int8 alone: the smallest file, with the same heatmaps in int8; ``lpn_core.quantize``
            takes this ``dtype``, too, for the self-test's sake.

    Raises:
        ModelFileError: the content is not consistent.
        OSError: the folder is missing or not writable.
    """
    if dtype not in (*DTYPES, _INTEGERS):
        raise ValueError(f"dtype is {dtype!r}; wanted one of {', '.join((*DTYPES, _INTEGERS))}")
    if dtype == _INTEGERS and model_file.quantization is None:
        raise ValueError(
            "dtype is 'int8', but the model has no scales; lpn_core.quantize finds them"
        )
    # What JSON cannot hold, such as NaN, is refused by _decode, which names the field.
    document = json.dumps(dump_document(model_file), ensure_ascii=False)
    if dtype == _INTEGERS:
        from lpn_core.model.integer_file import store_crops, store_weights

        tensors = store_weights(model_file)
        tensors[_SELF_TEST_TENSOR] = store_crops(model_file.self_test.crops)
    else:
        tensors = {
            name: StoredTensor.from_array(array, bfloat16=stores_as_bfloat16(array, dtype))
            for name, array in model_file.weights.items()
        }
        tensors[_SELF_TEST_TENSOR] = StoredTensor.from_array(model_file.self_test.crops)
    metadata = {
        _DOCUMENT_KEY: document,
        _DIGEST_KEY: _digest(document, tensors),
        _CRC_KEY: _crc32c(document, tensors),
    }
    _decode(tensors, metadata)
    safetensors.write(path, tensors, metadata)


def stores_as_bfloat16(array: NDArray[np.float32], dtype: str) -> bool:
    """Whether ``dtype`` rounds this weight: matrices and kernels; vectors weigh next to nothing."""
    return dtype == "bfloat16" and array.ndim >= 2


def round_weights(
    weights: Mapping[str, NDArray[np.float32]], dtype: str
) -> dict[str, NDArray[np.float32]]:
    """The weights as a file written with ``dtype`` gives them back."""
    return {
        name: StoredTensor.from_array(array, bfloat16=stores_as_bfloat16(array, dtype)).to_array()
        for name, array in weights.items()
    }


def stored_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 that a model file gives itself: the name of its content.

    Raises:
        ModelFileError: it gives none, or is no safetensors file.
        OSError: the file cannot be read.
    """
    return _read_and(lambda _, metadata: _stored_digest(metadata), path)


def check_sha256(path: str | os.PathLike[str]) -> str:
    """The same, after a look at all of the content.

    Raises:
        ModelFileError: the content has another one, or the file is no model file.
        OSError: the file cannot be read.
    """
    return _read_and(_check_digest, path)


def _read_and(
    decode: Callable[[Mapping[str, StoredTensor], Mapping[str, str]], _Result],
    path: str | os.PathLike[str],
) -> _Result:
    try:
        return decode(*safetensors.read(path))
    except safetensors.SafetensorsError as error:
        raise ModelFileError(str(error)) from None
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from None


def _content(document: str, tensors: Mapping[str, StoredTensor]) -> Iterator[bytes | StoredTensor]:
    """What the checksums cover: the document, then every tensor by name, not by place."""
    # Never an error of its own: what is not valid Unicode is refused with the field's name.
    yield document.encode(errors="surrogatepass")
    for name in sorted(tensors):
        tensor = tensors[name]
        line = f"\n{name} {tensor.dtype} {list(tensor.shape)}\n"
        yield line.encode(errors="surrogatepass")
        yield tensor


def _digest(document: str, tensors: Mapping[str, StoredTensor]) -> str:
    # Here, as it loads OpenSSL: 2 ms that loading a model need not take.
    import hashlib

    digest = hashlib.sha256()
    for part in _content(document, tensors):
        digest.update(part if isinstance(part, bytes) else part.data)
    return digest.hexdigest()


def _crc32c(document: str, tensors: Mapping[str, StoredTensor]) -> str:
    parts = _content(document, tensors)
    crc = _core.crc32c(tuple(p if isinstance(p, bytes) else p.content for p in parts))
    return f"{crc:08x}"


def _document(metadata: Mapping[str, str]) -> str:
    document = metadata.get(_DOCUMENT_KEY)
    if document is None:
        raise ModelFileError(
            f"a safetensors file without the metadata key {_DOCUMENT_KEY!r}: bare weights, not a "
            "model file; `lpn convert` makes a model file of a checkpoint"
        )
    return document


def _stored_digest(metadata: Mapping[str, str]) -> str:
    _document(metadata)
    digest = metadata.get(_DIGEST_KEY)
    if digest is None:
        raise ModelFileError(f"the metadata key {_DIGEST_KEY!r} is missing")
    if len(digest) != 64 or digest.strip("0123456789abcdef"):
        raise ModelFileError(
            f"the metadata key {_DIGEST_KEY!r} is {printable(digest[:80])!r}; "
            "wanted 64 hexadecimal digits in lower case"
        )
    return digest


def _check_digest(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> str:
    digest = _stored_digest(metadata)
    if digest != _digest(_document(metadata), tensors):
        raise _damaged("SHA-256", _DIGEST_KEY)
    return digest


def _check_content(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> None:
    """By the CRC, which notices damage and costs a twentieth; by the digest where there is none."""
    _stored_digest(metadata)
    crc = metadata.get(_CRC_KEY)
    if crc is None:
        _check_digest(tensors, metadata)
    elif crc != _crc32c(_document(metadata), tensors):
        raise _damaged("CRC-32C", _CRC_KEY)


def _damaged(checksum: str, key: str) -> ModelFileError:
    return ModelFileError(
        f"the content does not have the {checksum} that {key!r} says: "
        "the file is damaged; get it anew"
    )


def _decode(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> ModelFile:
    fields = load_document(_document(metadata))
    _check_content(tensors, metadata)
    weights = _decode_weights(fields, tensors)
    crops = _decode_crops(fields, tensors)
    values = fields._asdict()
    self_test = SelfTest(crops, values.pop("self_test_keypoints"))
    try:
        return ModelFile(**values, self_test=self_test, weights=weights)
    except ValueError as error:
        raise ModelFileError(str(error)) from None


def _decode_weights(fields: Document, tensors: Mapping[str, StoredTensor]) -> StoredArrays:
    wanted = fields.graph.weight_names()
    if fields.quantization is None:
        integer: Mapping[str, NDArray[np.float32]] = {}
    else:
        from lpn_core.model.integer_file import weight_factors

        integer = weight_factors(fields.graph, tensors)
    twice = sorted(name for name, count in Counter(wanted).items() if count > 1)
    missing = [name for name in wanted if name not in tensors]
    left_over = sorted(set(tensors) - set(wanted) - {_SELF_TEST_TENSOR})
    wrong = [
        f"{name} ({tensors[name].dtype})"
        for name in wanted
        if name in tensors and name not in integer and tensors[name].dtype not in ("F32", "BF16")
    ]
    problems = [
        f"{what}: {', '.join(map(printable, names))}"
        for what, names in (
            ("tensors of two weights", twice),
            ("missing tensors", missing),
            ("left-over tensors", left_over),
            ("tensors that are not F32 or BF16", wrong),
        )
        if names
    ]
    if problems:
        raise ModelFileError("; ".join(problems))
    return StoredArrays({name: tensors[name] for name in wanted}, integer)


def _decode_crops(fields: Document, tensors: Mapping[str, StoredTensor]) -> NDArray[np.uint8]:
    spec = fields.input
    stored = tensors.get(_SELF_TEST_TENSOR)
    if stored is None:
        raise ModelFileError(f"the tensor {_SELF_TEST_TENSOR!r} is missing")
    shape = (2, spec.height, spec.width, 3)
    if fields.quantization is not None and stored.dtype == "U8" and len(stored.shape) == 1:
        from lpn_core.model.integer_file import load_crops

        return load_crops(stored, shape)
    if stored.dtype != "U8" or stored.shape != shape:
        raise ModelFileError(
            f"{_SELF_TEST_TENSOR} is {stored.dtype} {stored.shape}; wanted U8 {shape}"
        )
    return stored.view()
