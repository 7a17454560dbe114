"""What only files of quantized models have: integer weights, and crops that are packed.

Reader and writer of both; ``file`` calls them where a file has a quantization.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lpn_core._text import printable
from lpn_core.model.quantization import (
    WEIGHT_SCALE,
    check_scales,
    output_channels,
    per_output,
    quantized_nodes,
)
from lpn_core.model.safetensors import StoredArrays, StoredTensor
from lpn_core.model.spec import ModelFile, ModelFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core.model.graph import GraphSpec, NodeSpec

_LARGEST = 127


def is_bfloat16(array: NDArray[np.float32]) -> bool:
    """Whether bfloat16 holds these numbers exactly."""
    bits: NDArray[np.uint32] = np.ascontiguousarray(array).view(np.uint32)
    return not (bits & np.uint32(0xFFFF)).any()


def store_weights(model_file: ModelFile) -> dict[str, StoredTensor]:
    """Weights as a network in int8 needs them: exactly the integers that it multiplies.

    Those of the first node stay float: its integers hold the pixels' normalisation, too. Other
    matrices are bfloat16 where that holds them exactly.
    """
    assert model_file.quantization is not None
    weights, graph = model_file.weights, model_file.graph
    nodes = {
        node.name + ".weight": node
        for node in quantized_nodes(graph, model_file.quantization.float_nodes)
        if graph.input_name not in node.inputs
    }
    tensors = {}
    for name, array in weights.items():
        if name in nodes:
            scales = weights[f"{nodes[name].name}.{WEIGHT_SCALE}"]
            tensors[name] = StoredTensor.from_array(
                round_to_integers(array, _factors(nodes[name], array.shape, scales))
            )
        else:
            narrow = array.ndim >= 2 and is_bfloat16(array)
            tensors[name] = StoredTensor.from_array(array, bfloat16=narrow)
    return tensors


def rounded_weights(model_file: ModelFile) -> dict[str, NDArray[np.float32]]:
    """The weights as a file gives back those that :func:`store_weights` has stored."""
    tensors = store_weights(model_file)
    return dict(StoredArrays(tensors, weight_factors(model_file.graph, tensors)))


def round_to_integers(
    weight: NDArray[np.floating], scales: NDArray[np.floating]
) -> NDArray[np.int8]:
    """The nearest integers in [-127, 127] to ``weight / scales``, ties to even."""
    quotient = weight.astype(np.float64) / scales
    return np.clip(np.rint(quotient), -_LARGEST, _LARGEST).astype(np.int8)


def weight_factors(
    graph: GraphSpec, tensors: Mapping[str, StoredTensor]
) -> dict[str, NDArray[np.float32]]:
    """What integer weights are multiplied by, by the names of these, after a look at all scales.

    Raises:
        ModelFileError: scales that are none, or integer weights of which there are none.
    """
    found = {}
    for node in graph.nodes:
        if WEIGHT_SCALE not in node.weights:
            continue
        weight = tensors.get(node.name + ".weight")
        scales = tensors.get(f"{node.name}.{WEIGHT_SCALE}")
        if weight is None or scales is None:
            continue  # the caller lists what is missing
        if scales.dtype != "F32":
            raise ModelFileError(
                f"{printable(node.name)}.{WEIGHT_SCALE} is {scales.dtype}; wanted F32"
            )
        factors = _factors(node, weight.shape, scales.to_array())
        if weight.dtype == "I8":
            if graph.input_name in node.inputs:
                raise ModelFileError(
                    f"{printable(node.name)}.weight is I8; wanted F32 or BF16: its integers "
                    "hold the pixels' normalisation"
                )
            if (weight.view() < -_LARGEST).any():
                raise ModelFileError(
                    f"{printable(node.name)}.weight holds -128; wanted integers from "
                    f"-{_LARGEST} to {_LARGEST}"
                )
            found[node.name + ".weight"] = factors
    return found


def _factors(
    node: NodeSpec, shape: tuple[int, ...], scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What a node's integers are multiplied by: an array that goes with them by broadcasting.

    Raises:
        ModelFileError: scales that are not those of a weight of this shape.
    """
    try:
        channels = output_channels(node, shape)
        check_scales(f"{printable(node.name)}.{WEIGHT_SCALE}", scales, channels)
    except ValueError as error:
        raise ModelFileError(str(error)) from None
    return per_output(node.kind, scales, shape)


def store_crops(crops: NDArray[np.uint8]) -> StoredTensor:
    """Packs crops (2, H, W, 3): drawn ones become an eighth."""
    # Here: most programs pack nothing.
    import zlib

    # What is drawn is smooth: of second differences most are 0.
    columns = np.diff(crops, axis=2, prepend=np.zeros_like(crops[:, :, :1]))
    rows = np.diff(columns, axis=1, prepend=np.zeros_like(crops[:, :1]))
    packed = zlib.compress(rows.tobytes(), 9)
    return StoredTensor("U8", (len(packed),), memoryview(packed))


def load_crops(stored: StoredTensor, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """What :func:`store_crops` has packed.

    Raises:
        ModelFileError: something else, or crops of another shape.
    """
    import zlib

    size = prod(shape)
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(stored.data, size + 1)
    except zlib.error as error:
        raise ModelFileError(f"self_test.crops cannot be unpacked: {error}") from None
    if len(content) != size or not unpacker.eof:
        raise ModelFileError(f"self_test.crops is packed; wanted the {size} bytes of U8 {shape}")
    rows = np.frombuffer(content, np.uint8).reshape(shape)
    columns = np.cumsum(rows, axis=1, dtype=np.uint8)
    crops: NDArray[np.uint8] = np.cumsum(columns, axis=2, dtype=np.uint8)
    crops.flags.writeable = False
    return crops
