"""Weights in the form of their file: the same results, and nothing that a caller can change."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lpn_core._core as _core
import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.safetensors import StoredArrays, StoredTensor
from numpy.typing import NDArray

SIZES = [(64, 48), (96, 64), (32, 32)]
CONV: dict[str, int | float | str] = {"stride": 1, "padding": 0, "groups": 1, "activation": "none"}


@pytest.fixture(scope="module", params=["gc", "se", "none"])
def network(request: pytest.FixtureRequest) -> GraphSpec:
    return build_lpn(lpn_state_dict(50, request.param), 50)[0]


def _stored(network: GraphSpec, folder: Path) -> StoredArrays:
    """Random weights of the network, matrices and kernels as bfloat16, through a file."""
    attention = next((n.kind for n in network.nodes if n.kind.endswith("_block")), "none")
    weights = build_lpn(lpn_state_dict(50, attention.removesuffix("_block")), 50)[1]
    tensors = {
        name: StoredTensor.from_array(array, bfloat16=array.ndim >= 2)
        for name, array in weights.items()
    }
    path = folder / "weights.safetensors"
    safetensors_file.write(path, tensors, {})
    return StoredArrays(safetensors_file.read(path)[0])


def _images(size: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((1, *size, 3), dtype=np.float32)


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_bfloat16_weights_give_the_bits_of_widened_ones(
    network: GraphSpec, isa: str, tmp_path: Path
) -> None:
    stored = _stored(network, tmp_path)
    widened = {name: stored[name] for name in stored}
    assert all(array.dtype == np.float32 for array in widened.values())
    narrow = network.compile(stored, threads=1, isa=isa)
    wide = network.compile(widened, threads=1, isa=isa)
    for size in SIZES:
        np.testing.assert_array_equal(narrow.run(_images(size)), wide.run(_images(size)))


def test_plans_made_at_the_same_time(network: GraphSpec, tmp_path: Path) -> None:
    stored = _stored(network, tmp_path)
    alone = network.compile(stored, threads=1, isa=None)
    wanted = [alone.run(_images(size)) for size in SIZES]
    shared = network.compile(stored, threads=1, isa=None)
    with ThreadPoolExecutor(len(SIZES)) as pool:
        found = list(pool.map(lambda size: shared.run(_images(size)), SIZES))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_pickle_and_outlive_their_file(network: GraphSpec, tmp_path: Path) -> None:
    stored = _stored(network, tmp_path)
    content = pickle.dumps(stored)
    halves = sum(array.size for array in stored.values())
    assert len(content) < 2.2 * halves, "bfloat16 weights are pickled as such"
    copy = pickle.loads(content)
    (tmp_path / "weights.safetensors").unlink()
    assert list(copy) == list(stored)
    for name in stored:
        np.testing.assert_array_equal(copy[name], stored[name], strict=True)


def _convolution(weight: Any, bias: NDArray[Any]) -> _core.CompiledModel:
    graph = _core.Graph()
    graph.add_input("image", 3)
    graph.add_node("conv2d", "conv", ("image",), CONV, {"weight": weight, "bias": bias})
    graph.add_output("conv")
    return _core.CompiledModel(graph, 1, "auto")


def test_what_a_caller_can_write_is_copied() -> None:
    weight = np.ones((2, 3, 1, 1), np.float32)
    bias = np.zeros(2, np.float32)
    model = _convolution(weight, bias)
    weight[:], bias[:] = 7, 7
    np.testing.assert_array_equal(model.run(np.ones((1, 4, 4, 3), np.float32)), 3)


def _views(array: NDArray[Any], way: str) -> NDArray[Any]:
    """A read-only array over the memory of a writable one."""
    if way == "frombuffer":
        view = np.frombuffer(memoryview(array).cast("B").toreadonly(), array.dtype)
        return view.reshape(array.shape)
    view = {"slice": array[:], "broadcast": np.broadcast_to(array, array.shape)}[way]
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("way", ["slice", "broadcast", "frombuffer"])
def test_a_read_only_view_of_what_a_caller_can_write_is_copied(way: str) -> None:
    weight, bias = np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32)
    model = _convolution(_views(weight, way), _views(bias, way))
    ones = np.ones((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(model.run(ones), 3)
    weight[:], bias[:] = 7, 100
    np.testing.assert_array_equal(model.run(ones), 3)


def test_what_its_owner_can_make_writable_again_is_copied() -> None:
    weight, bias = np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32)
    weight.flags.writeable = bias.flags.writeable = False
    model = _convolution(weight, bias)
    weight.flags.writeable = bias.flags.writeable = True
    weight[:], bias[:] = 7, 100
    np.testing.assert_array_equal(model.run(np.ones((1, 4, 4, 3), np.float32)), 3)


def test_a_memory_map_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "bias"
    path.write_bytes(bytes(8))
    bias = np.memmap(path, np.float32, "r")
    model = _convolution(np.ones((2, 3, 1, 1), np.float32), bias)
    np.memmap(path, np.float32, "r+")[:] = 100
    np.testing.assert_array_equal(model.run(np.ones((1, 4, 4, 3), np.float32)), 3)


def test_what_a_bytes_object_holds_is_not_copied() -> None:
    values = StoredTensor.from_array(np.ones((2, 3, 1, 1), np.float32))
    weight = StoredArrays({"conv.weight": values}).for_engine("conv.weight")
    references = sys.getrefcount(weight)
    model = _convolution(weight, np.zeros(2, np.float32))
    assert sys.getrefcount(weight) == references + 1, "the model holds the array itself"
    del model
    assert sys.getrefcount(weight) == references


def _file(path: Path, value: float, *, bfloat16: bool) -> Path:
    values = np.full((2, 3, 1, 1), value, np.float32)
    tensor = StoredTensor.from_array(values, bfloat16=bfloat16)
    safetensors_file.write(path, {"conv.weight": tensor}, {})
    return path


def _ones(model: _core.CompiledModel) -> NDArray[np.float32]:
    return model.run(np.ones((1, 1, 1, 3), np.float32))


@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("fate", ["kept", "deleted", "replaced"])
def test_weights_are_read_of_the_file_that_was_loaded(
    bfloat16: bool, fate: str, tmp_path: Path
) -> None:
    path = _file(tmp_path / "weights.safetensors", 2.0, bfloat16=bfloat16)
    weight = StoredArrays(safetensors_file.read(path)[0]).for_engine("conv.weight")
    assert isinstance(weight, _core.StoredWeight)
    if fate == "deleted":
        path.unlink()
    elif fate == "replaced":
        _file(path, 5.0, bfloat16=bfloat16)
    model = _convolution(weight, np.zeros(2, np.float32))
    del weight
    np.testing.assert_array_equal(_ones(model).ravel(), [6, 6])


@pytest.mark.parametrize("how", ["a byte", "the length"])
def test_a_file_that_was_written_to_is_not_read_again(how: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "weights.safetensors", 2.0, bfloat16=True)
    arrays = StoredArrays(safetensors_file.read(path)[0])
    assert arrays["conv.weight"].max() == 2  # as the checksum of a model file reads all of it
    model = _convolution(arrays.for_engine("conv.weight"), np.zeros(2, np.float32))
    with path.open("r+b") as file:
        if how == "a byte":
            file.seek(-1, os.SEEK_END)
            file.write(b"\x7f")
        else:
            file.truncate(path.stat().st_size - 1)
    message = r"weights\.safetensors was written to after it was loaded; load it again"
    for call in (lambda: _ones(model), lambda: arrays["conv.weight"], lambda: pickle.dumps(arrays)):
        with pytest.raises(OSError, match=message) as caught:
            call()
        assert caught.value.errno == errno.ESTALE


def test_a_packed_model_needs_its_file_no_more(tmp_path: Path) -> None:
    path = _file(tmp_path / "weights.safetensors", 2.0, bfloat16=True)
    weight = StoredArrays(safetensors_file.read(path)[0]).for_engine("conv.weight")
    model = _convolution(weight, np.zeros(2, np.float32))
    wanted = _ones(model)
    path.write_bytes(b"")
    np.testing.assert_array_equal(_ones(model), wanted)
    assert model.run(np.ones((1, 2, 2, 3), np.float32)).shape == (1, 2, 2, 2)


def test_a_pipe_is_read_into_memory(tmp_path: Path) -> None:
    content = _file(tmp_path / "weights.safetensors", 2.0, bfloat16=True).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_bytes, content)
        tensors, _ = safetensors_file.read(pipe)
        assert written.result() == len(content)
    np.testing.assert_array_equal(tensors["conv.weight"].to_array(), np.full((2, 3, 1, 1), 2.0))


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("F16", (2, 3), 'dtype is "F16"; it must be F32 or BF16'),
        ("BF16", (6,), r"shape \(6,?\) must have at least two axes"),
        ("BF16", (2, 2), r"part has 12 bytes; BF16 \(2, 2\) takes 8"),
        ("F32", (2, 1 << 62), "2\\^40|too large|exceed"),
    ],
)
def test_stored_weights_are_checked(
    dtype: str, shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "twelve"
    path.write_bytes(bytes(12))
    with path.open("rb") as file:
        stored = _core.StoredFile(file.fileno(), "twelve")
    with pytest.raises(ValueError, match=message):
        _core.StoredWeight(_core.StoredPart(stored, 0, 12), dtype, shape)
    for begin, end in ((-1, 3), (4, 3), (0, 13)):
        with pytest.raises(ValueError, match=f"begin is {begin} and end {end}"):
            _core.StoredPart(stored, begin, end)
    with pytest.raises(OSError, match="nobody's"):
        _core.StoredFile(-1, "nobody's")


def test_bfloat16_that_a_caller_can_write_is_copied() -> None:
    ones, sevens = 0x3F80, 0x40E0
    weight = np.full((2, 3, 1, 1), ones, np.uint16)
    model = _convolution(weight, np.zeros(2, np.float32))
    weight[:] = sevens
    np.testing.assert_array_equal(model.run(np.ones((1, 4, 4, 3), np.float32)), 3)


def test_read_only_arrays_outlive_their_names() -> None:
    weight, bias = np.ones((2, 3, 1, 1), np.float32), np.full(2, 0.5, np.float32)
    weight.flags.writeable = bias.flags.writeable = False
    model = _convolution(weight, bias)
    del weight, bias
    rubbish = [np.full((2, 3, 1, 1), 9, np.float32) for _ in range(100)]
    np.testing.assert_array_equal(model.run(np.ones((1, 4, 4, 3), np.float32)), 3.5)
    assert len(rubbish) == 100


def test_vectors_must_be_float32() -> None:
    with pytest.raises(TypeError, match=r'weight "bias" has dtype uint16; it must be float32'):
        _convolution(np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.uint16))


def test_vectors_stored_as_bfloat16_reach_the_engine_as_float32() -> None:
    values = np.array([0.5, -2.0], np.float32)
    stored = {
        "conv.weight": StoredTensor.from_array(np.ones((2, 3, 1, 1), np.float32), bfloat16=True),
        "conv.bias": StoredTensor.from_array(values, bfloat16=True),
    }
    node = NodeSpec("conv2d", "conv", ("image",), CONV, ("weight", "bias"))
    network = GraphSpec("image", 3, (node,), ("conv",))
    model = network.compile(StoredArrays(stored), threads=1, isa=None)
    np.testing.assert_array_equal(model.run(np.ones((1, 1, 1, 3), np.float32)).ravel(), 3 + values)


def test_a_file_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.safetensors")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    safetensors_file.write(path, {"w": StoredTensor.from_array(array)}, {})
    stored = StoredArrays(safetensors_file.read(path)[0])
    np.testing.assert_array_equal(stored["w"], array, strict=True)
