"""The model file: a safetensors file with one JSON document. docs/model-file.md describes it.

:func:`read` and :func:`write` are each other's inverse.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lpn_core._text import printable
from lpn_core.model import safetensors
from lpn_core.model.document import dump_document, load_document
from lpn_core.model.graph import GraphSpec
from lpn_core.model.safetensors import StoredArrays, StoredTensor
from lpn_core.model.spec import InputSpec, ModelFile, ModelFileError, SelfTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DOCUMENT_KEY = "lpn_core"
_DIGEST_KEY = "lpn_core_sha256"
_SELF_TEST_TENSOR = "self_test.crops"
DTYPES = ("float32", "bfloat16")


def read(path: str | os.PathLike[str]) -> ModelFile:
    """Reads a model file.

    Raises:
        ModelFileError: not a model file, damaged, or fields missing (all of them are listed).
        OSError: the file cannot be read.
    """
    try:
        tensors, metadata = safetensors.read(path)
        return _decode(tensors, metadata)
    except safetensors.SafetensorsError as error:
        raise ModelFileError(str(error)) from None
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from None


def write(path: str | os.PathLike[str], model_file: ModelFile, dtype: str = "float32") -> None:
    """Writes a model file, all of it or nothing.

    Args:
        path: the file to make or replace.
        model_file: its content.
        dtype: "float32", or "bfloat16" to round the weights of two and more axes to nearest even.
            Its self-test must be that of the rounded weights: ``convert.make_model_file`` takes
            the same ``dtype``.

    Raises:
        ModelFileError: the content is not consistent.
        OSError: the folder is missing or not writable.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; wanted one of {', '.join(DTYPES)}")
    # What JSON cannot hold, such as NaN, is refused by _decode, which names the field.
    document = json.dumps(dump_document(model_file), ensure_ascii=False)
    tensors = {
        name: StoredTensor.from_array(array, bfloat16=stores_as_bfloat16(array, dtype))
        for name, array in model_file.weights.items()
    }
    tensors[_SELF_TEST_TENSOR] = StoredTensor.from_array(model_file.self_test.crops)
    metadata = {_DOCUMENT_KEY: document, _DIGEST_KEY: _digest(document, tensors)}
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


def _digest(document: str, tensors: Mapping[str, StoredTensor]) -> str:
    """SHA-256 of the document and of every tensor by name; their order in the file is free."""
    # Here, as it loads OpenSSL: 2 ms that an import without a model need not take.
    import hashlib

    # Never an error of its own: what is not valid Unicode is refused with the field's name.
    digest = hashlib.sha256(document.encode(errors="surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        line = f"\n{name} {tensor.dtype} {list(tensor.shape)}\n"
        digest.update(line.encode(errors="surrogatepass"))
        digest.update(tensor.data)
    return digest.hexdigest()


def _decode(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> ModelFile:
    document = metadata.get(_DOCUMENT_KEY)
    if document is None:
        raise ModelFileError(
            f"a safetensors file without the metadata key {_DOCUMENT_KEY!r}: bare weights, not a "
            "model file; `lpn convert` makes a model file of a checkpoint"
        )
    fields = load_document(document)
    digest = metadata.get(_DIGEST_KEY)
    if digest is None:
        raise ModelFileError(f"the metadata key {_DIGEST_KEY!r} is missing")
    if digest != _digest(document, tensors):
        raise ModelFileError(
            f"the content does not have the SHA-256 that {_DIGEST_KEY!r} says: "
            "the file is damaged; get it anew"
        )
    weights = _decode_weights(fields.graph, tensors)
    crops = _decode_crops(fields.input, tensors)
    values = fields._asdict()
    self_test = SelfTest(crops, values.pop("self_test_keypoints"))
    try:
        return ModelFile(**values, self_test=self_test, weights=weights)
    except ValueError as error:
        raise ModelFileError(str(error)) from None


def _decode_weights(graph: GraphSpec, tensors: Mapping[str, StoredTensor]) -> StoredArrays:
    wanted = graph.weight_names()
    twice = sorted(name for name, count in Counter(wanted).items() if count > 1)
    missing = [name for name in wanted if name not in tensors]
    left_over = sorted(set(tensors) - set(wanted) - {_SELF_TEST_TENSOR})
    wrong = [
        f"{name} ({tensors[name].dtype})"
        for name in wanted
        if name in tensors and tensors[name].dtype not in ("F32", "BF16")
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
    return StoredArrays({name: tensors[name] for name in wanted})


def _decode_crops(spec: InputSpec, tensors: Mapping[str, StoredTensor]) -> NDArray[np.uint8]:
    stored = tensors.get(_SELF_TEST_TENSOR)
    if stored is None:
        raise ModelFileError(f"the tensor {_SELF_TEST_TENSOR!r} is missing")
    shape = (2, spec.height, spec.width, 3)
    if stored.dtype != "U8" or stored.shape != shape:
        raise ModelFileError(
            f"{_SELF_TEST_TENSOR} is {stored.dtype} {stored.shape}; wanted U8 {shape}"
        )
    return stored.view()
