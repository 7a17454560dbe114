"""The engine through ``_core``: wrong graphs, wrong inputs, and what a plan tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lpn_core._core as _core
import numpy as np
import pytest
from numpy.typing import NDArray

CONV = {"stride": 1, "padding": 0, "groups": 1, "activation": "none"}
POOL = {"kernel": 3, "stride": 2, "padding": 1}


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def start() -> Any:
    graph = _core.Graph()
    graph.add_input("image", 8)
    return graph


def add(
    kind: str,
    attributes: Mapping[str, Any],
    weights: Mapping[str, Any],
    inputs: tuple[str, ...] = ("image",),
    name: str = "node",
) -> None:
    start().add_node(kind, name, inputs, attributes, weights)


def conv(**changes: Any) -> None:
    add("conv2d", {**CONV, **changes}, {"weight": zeros(4, 8, 1, 1)})


def gc_weights(c: int = 8, hidden: int = 4) -> dict[str, NDArray[np.float32]]:
    return {
        "mask_weight": zeros(c),
        "mask_bias": zeros(1),
        "w1": zeros(hidden, c),
        "b1": zeros(hidden),
        "norm_weight": zeros(hidden),
        "norm_bias": zeros(hidden),
        "w2": zeros(c, hidden),
        "b2": zeros(c),
    }


def two_inputs() -> None:
    start().add_input("second", 3)


def node_before_input() -> None:
    _core.Graph().add_node("add", "sum", ["image", "image"], {"activation": "none"}, {})


def name_twice() -> None:
    graph = start()
    for _ in range(2):
        graph.add_node("max_pool2d", "pool", ["image"], POOL, {})


def add_of_different_channels() -> None:
    graph = start()
    graph.add_node("conv2d", "narrow", ["image"], CONV, {"weight": zeros(4, 8, 1, 1)})
    graph.add_node("add", "sum", ["image", "narrow"], {"activation": "none"}, {})


def add_of_different_sizes() -> None:
    graph = start()
    graph.add_node("max_pool2d", "pool", ["image"], POOL, {})
    graph.add_node("add", "sum", ["image", "pool"], {"activation": "none"}, {})
    graph.add_output("sum")
    _core.CompiledModel(graph, 1, "auto").output_shape(32, 24)


def no_output() -> None:
    graph = start()
    graph.add_node("max_pool2d", "pool", ["image"], POOL, {})
    _core.CompiledModel(graph, 1, "auto")


def too_small() -> None:
    graph = start()
    graph.add_node("conv2d", "wide", ["image"], CONV, {"weight": zeros(4, 8, 7, 7)})
    graph.add_output("wide")
    _core.CompiledModel(graph, 1, "auto").run(zeros(1, 5, 9, 8))


BAD_GRAPHS: list[tuple[Callable[[], None], type[Exception], list[str]]] = [
    (two_inputs, ValueError, ["second", "already has its input"]),
    (node_before_input, ValueError, ["sum", "add_input"]),
    (name_twice, ValueError, ["pool", "taken"]),
    (add_of_different_channels, ValueError, ["sum", "8 and 4 channels"]),
    (add_of_different_sizes, ValueError, ["sum", "(32, 24, 8)", "(16, 12, 8)", "same"]),
    (no_output, ValueError, ["add_output"]),
    (too_small, ValueError, ["wide", "(5, 9, 8)", "7 x 7", "larger image"]),
    (lambda: start().add_output("image"), ValueError, ["image", "not a node"]),
    (lambda: _core.Graph().add_input("image", 0), ValueError, ["image", "0 channels"]),
    (lambda: add("conv3d", {}, {}), ValueError, ["node", "conv3d", "not known", "conv2d"]),
    (lambda: add("add", {"activation": "none"}, {}), ValueError, ["1 inputs", "takes 2"]),
    (lambda: add("max_pool2d", POOL, {}, ("imag",)), ValueError, ["imag", "neither"]),
    (lambda: conv(stride=0), ValueError, ["stride", "is 0", "from 1"]),
    (lambda: conv(padding=-1), ValueError, ["padding", "is -1", "from 0"]),
    (lambda: conv(groups=2), ValueError, ["groups is 2", "1 or", "8"]),
    (lambda: conv(groups=8), ValueError, ["depthwise", "(4, 8, 1, 1)", "makes 4"]),
    (lambda: conv(stride="2"), ValueError, ["stride", "an integer"]),
    (lambda: conv(stride=2.0), ValueError, ["stride", "an integer"]),
    (lambda: conv(stride=2**63), ValueError, ["stride", "9223372036854775808"]),
    (lambda: conv(stride=True), TypeError, ["stride", "bool"]),
    (lambda: conv(activation="gelu"), ValueError, ["gelu", "relu6"]),
    (lambda: conv(dilation=1), ValueError, ["dilation", "not known"]),
    (lambda: add("conv2d", {"stride": 1}, {}), ValueError, ["padding", "missing"]),
    (lambda: add("conv2d", CONV, {}), ValueError, ["weight", "missing"]),
    (lambda: add("conv2d", CONV, {"weight": zeros(4, 8)}), ValueError, ["(4, 8)", "4 axes"]),
    (
        lambda: add("conv2d", CONV, {"weight": zeros(4, 3, 1, 1)}),
        ValueError,
        ["node", "(4, 3, 1, 1)", "(4, 8, 1, 1)"],
    ),
    (
        lambda: add("conv2d", CONV, {"weight": zeros(4, 8, 1, 1), "bias": zeros(5)}),
        ValueError,
        ["bias", "(5,)", "(4,)"],
    ),
    (
        lambda: add("conv2d", CONV, {"weight": zeros(4, 8, 1, 1), "gain": zeros(4)}),
        ValueError,
        ["gain", "not known"],
    ),
    (
        lambda: add("conv2d", CONV, {"weight": np.zeros((4, 8, 1, 1))}),
        TypeError,
        ["weight", "float64", "float32"],
    ),
    (lambda: add("conv2d", CONV, {"weight": [[1.0]]}), TypeError, ["weight", "numpy array"]),
    (
        lambda: add("conv2d", CONV, {"weight": zeros(8, 4, 1, 1).transpose(1, 0, 2, 3)}),
        ValueError,
        ["weight", "C-contiguous"],
    ),
    (
        lambda: add("conv_transpose2d", {**CONV, "groups": 3}, {"weight": zeros(8, 4, 2, 2)}),
        ValueError,
        ["groups is 3", "divide", "8"],
    ),
    (
        lambda: add("conv_transpose2d", CONV, {"weight": zeros(4, 4, 2, 2)}),
        ValueError,
        ["(4, 4, 2, 2)", "(8, 4, 2, 2)"],
    ),
    (
        lambda: add("max_pool2d", {**POOL, "padding": 3}, {}),
        ValueError,
        ["padding is 3", "less than the kernel"],
    ),
    (
        lambda: add("gc_block", {"epsilon": -1.0}, gc_weights()),
        ValueError,
        ["epsilon", "-1", "at least 0"],
    ),
    (
        lambda: add("gc_block", {"epsilon": 1e-5}, {**gc_weights(), "b1": zeros(3)}),
        ValueError,
        ["b1", "(3,)", "(4,)"],
    ),
    (
        lambda: add("se_block", {}, {"w1": zeros(2, 8), "w2": zeros(2, 8)}),
        ValueError,
        ["w2", "(2, 8)", "(8, 2)"],
    ),
]


@pytest.mark.parametrize(("build", "error", "words"), BAD_GRAPHS)
def test_bad_graph_is_refused(
    build: Callable[[], None], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        build()
    for word in words:
        assert word in str(caught.value)


def small_model(threads: int = 1, isa: str = "auto") -> Any:
    """8 channels -> depthwise -> 1x1 to 5 -> GC block; random weights."""
    generator = np.random.default_rng(0)
    graph = start()

    def random(*shape: int) -> NDArray[np.float32]:
        return generator.normal(0, 0.3, shape).astype(np.float32)

    depthwise = {"stride": 2, "padding": 1, "groups": 8, "activation": "relu"}
    graph.add_node("conv2d", "dw", ["image"], depthwise, {"weight": random(8, 1, 3, 3)})
    graph.add_node("conv2d", "pw", ["dw"], CONV, {"weight": random(5, 8, 1, 1)})
    weights = {name: random(*array.shape) for name, array in gc_weights(5).items()}
    graph.add_node("gc_block", "gc", ["pw"], {"epsilon": 1e-5}, weights)
    graph.add_output("gc")
    return _core.CompiledModel(graph, threads, isa)


BAD_RUNS: list[tuple[Any, type[Exception], list[str]]] = [
    (np.zeros((1, 16, 16, 8)), TypeError, ["float64", "float32"]),
    (np.zeros((1, 16, 16, 8), ">f4"), TypeError, [">f4", "float32"]),
    (zeros(16, 16, 8), ValueError, ["(16, 16, 8)", "(N, H, W, C)"]),
    (zeros(1, 8, 16, 16), ValueError, ["(1, 8, 16, 16)", "8 channels"]),
    (zeros(1, 32, 16, 8)[:, ::2], ValueError, ["C-contiguous", "ascontiguousarray"]),
    (zeros(1, 0, 16, 8), ValueError, ["height 0"]),
    (zeros(0, 16, 0, 8), ValueError, ["width 0"]),
]


@pytest.mark.parametrize(("x", "error", "words"), BAD_RUNS)
def test_bad_input_is_refused(x: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        small_model().run(x)
    for word in words:
        assert word in str(caught.value)


def test_unaligned_input_is_refused() -> None:
    data = np.zeros(4 * 16 * 16 * 8 + 1, np.uint8)[1:].view(np.float32).reshape(1, 16, 16, 8)
    with pytest.raises(ValueError, match="no multiple of 4 bytes"):
        small_model().run(data)


def test_bad_bytes_are_refused() -> None:
    model = small_model()
    crops = np.zeros((1, 16, 16, 3), np.uint8)
    good = [0, 1, 2, 0, 1, 2, 0, 1]
    ones = [1.0] * 8
    with pytest.raises(ValueError, match=r"channel_map\[0\] is 3"):
        model.run_u8(crops, [3, *good[1:]], ones, ones)
    with pytest.raises(ValueError, match="8, 8 and 7 values"):
        model.run_u8(crops, good, ones, ones[1:])
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
        model.run_u8(np.zeros((1, 16, 16, 4), np.uint8), good, ones, ones)
    with pytest.raises(TypeError, match="float32"):
        model.run_u8(crops.astype(np.float32), good, ones, ones)


def test_bad_options_are_refused() -> None:
    graph = start()
    graph.add_node("max_pool2d", "pool", ["image"], POOL, {})
    graph.add_output("pool")
    with pytest.raises(ValueError, match="threads is -1"):
        _core.CompiledModel(graph, -1, "auto")
    with pytest.raises(ValueError, match=r'"sse9" is not known.*scalar'):
        _core.CompiledModel(graph, 1, "sse9")
    assert _core.CompiledModel(graph, 0, "auto").threads == _core.default_threads()


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_bytes_are_floats(isa: str) -> None:
    model = small_model(threads=2, isa=isa)
    generator = np.random.default_rng(1)
    crops = generator.integers(0, 256, (3, 16, 24, 3), np.uint8)
    channels = [2, 1, 0, 0, 1, 2, 1, 1]
    scale = generator.normal(0, 0.02, 8).astype(np.float32)
    shift = generator.normal(0, 1, 8).astype(np.float32)
    x = crops[..., channels].astype(np.float32) * scale + shift
    expected = model.run(np.ascontiguousarray(x, np.float32))
    np.testing.assert_array_equal(model.run_u8(crops, channels, scale, shift), expected)
    assert model.isa == isa


def test_plan_is_told() -> None:
    tier = "avx2" if "avx2" in _core.supported_isas() else "scalar"
    model = small_model(isa=tier)
    steps = model.steps(32, 24)
    assert [step["name"] for step in steps] == ["dw", "gc", "pw"]
    assert [step["kernel"] for step in steps] == [
        f"depthwise_f32_{tier}",
        f"gc_transform_f32_{tier}",
        f"pointwise_f32_{tier}",
    ]
    assert {step["isa"] for step in steps} == {tier}
    assert steps[2]["flops"] == 2 * 16 * 12 * 8 * 5
    assert all(step["chunks"] >= 1 for step in steps)
    assert model.output_shape(32, 24) == (16, 12, 5)
    assert model.input_channels == 8
    # Depthwise result, partials and vector; the input and the result are the caller's.
    assert model.arena_bytes(32, 24) >= 4 * 16 * 12 * 8


def test_empty_batch_gives_an_empty_result() -> None:
    assert small_model().run(zeros(0, 32, 24, 8)).shape == (0, 16, 12, 5)


def test_result_survives_released_workspaces() -> None:
    model = small_model()
    x = np.random.default_rng(2).standard_normal((2, 32, 24, 8), dtype=np.float32)
    before = model.run(x)
    kept = before.copy()
    model.release_workspaces()
    np.testing.assert_array_equal(model.run(x), kept)
    np.testing.assert_array_equal(before, kept)


def test_graph_can_change_after_it_was_compiled() -> None:
    weight = np.ones((1, 8, 1, 1), np.float32)
    graph = start()
    graph.add_node("conv2d", "sum", ["image"], CONV, {"weight": weight})
    graph.add_output("sum")
    model = _core.CompiledModel(graph, 1, "auto")
    weight[:] = 5
    graph.add_node("conv2d", "more", ["sum"], CONV, {"weight": np.ones((2, 1, 1, 1), np.float32)})
    graph.add_output("more")
    np.testing.assert_array_equal(model.run(np.ones((1, 2, 2, 8), np.float32)), 8.0)


def test_not_a_number_reaches_the_output() -> None:
    graph = start()
    weight = zeros(3, 8, 1, 1)
    weight[1, 0] = np.nan
    graph.add_node("conv2d", "head", ["image"], CONV, {"weight": weight})
    graph.add_output("head")
    out = _core.CompiledModel(graph, 1, "auto").run(np.ones((1, 2, 2, 8), np.float32))
    assert np.isnan(out[..., 1]).all()
    assert not np.isnan(out[..., [0, 2]]).any()
