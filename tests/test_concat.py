"""Concatenation copies nothing where its inputs can be written among its channels."""

from __future__ import annotations

import lpn_core._core as _core
import numpy as np
import pytest
from lpn_core.model.graph import GraphSpec, NodeSpec
from numpy.typing import NDArray
from reference_nodes import REFERENCES

HEIGHT, WIDTH, CHANNELS = 11, 9, 6
EPSILON = float(np.finfo(np.float32).eps)


def _conv(name: str, source: str, kernel: int) -> NodeSpec:
    attributes = {"stride": 1, "padding": kernel // 2, "groups": 1, "activation": "relu"}
    return NodeSpec("conv2d", name, (source,), attributes, ("weight", "bias"))


def _pool(name: str, source: str) -> NodeSpec:
    return NodeSpec("max_pool2d", name, (source,), {"kernel": 3, "stride": 1, "padding": 1})


def _concat(*inputs: str) -> NodeSpec:
    return NodeSpec("concat", "joined", inputs)


ALL_KERNELS = (_conv("a", "x", 1), _conv("b", "x", 3), _conv("c", "a", 1))
# Nodes, and the steps that are named after the concatenation.
IN_PLACE = {
    "convolutions": (*ALL_KERNELS, _concat("a", "b", "c")),
    "read on by a 1x1 convolution": (
        *ALL_KERNELS[:2], _concat("a", "b"), _conv("end", "joined", 1)
    ),
    "read on by a 3x3 convolution": (
        *ALL_KERNELS[:2], _concat("b", "a"), _conv("end", "joined", 3)
    ),
}  # fmt: skip
COPIED = {
    "the input": (_conv("a", "x", 1), _concat("a", "x")),
    "a map twice": (_conv("a", "x", 1), _concat("a", "a")),
    "what is only written whole": (_conv("a", "x", 1), _pool("b", "x"), _concat("b", "a")),
    "what is only read whole": (
        *ALL_KERNELS[:2], _concat("a", "b"), _conv("d", "a", 3),
        NodeSpec("concat", "end", ("joined", "d")),
    ),
}  # fmt: skip


def _weights(graph: GraphSpec) -> dict[str, NDArray[np.float32]]:
    """Every convolution has as many channels as its place in the list, and five more."""
    generator = np.random.default_rng(5)
    channels = {"x": CHANNELS}
    weights = {}
    for position, node in enumerate(graph.nodes):
        total = sum(channels[name] for name in node.inputs)
        channels[node.name] = total
        if node.kind == "conv2d":
            channels[node.name] = 5 + position
            kernel = 1 + 2 * int(node.attributes["padding"])
            shape = (5 + position, total, kernel, kernel)
            weights[f"{node.name}.weight"] = generator.normal(0, 0.3, shape).astype(np.float32)
            weights[f"{node.name}.bias"] = generator.normal(0, 0.3, shape[0]).astype(np.float32)
    return weights


def _reference(
    graph: GraphSpec, weights: dict[str, NDArray[np.float32]], image: NDArray[np.float32]
) -> NDArray[np.float64]:
    values = {"x": image.astype(np.float64)}
    for node in graph.nodes:
        own = {name: weights[f"{node.name}.{name}"].astype(np.float64) for name in node.weights}
        inputs = [values[name] for name in node.inputs]
        values[node.name] = REFERENCES[node.kind](inputs, node.attributes, own)
    return values[graph.outputs[0]]


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("case", [*IN_PLACE, *COPIED])
def test_only_what_must_be_is_copied(case: str, isa: str) -> None:
    nodes = (IN_PLACE | COPIED)[case]
    graph = GraphSpec("x", CHANNELS, nodes, (nodes[-1].name,))
    weights = _weights(graph)
    model = graph.compile(weights, threads=2, isa=isa)
    copies = [step for step in model.steps(HEIGHT, WIDTH) if step["kernel"] == "concat"]
    assert bool(copies) == (case in COPIED)

    generator = np.random.default_rng(6)
    x = generator.normal(0, 1, (3, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
    for image, found in zip(x, model.run(x), strict=True):
        expected = _reference(graph, weights, image)
        # Of two layers' sums, 9 x 18 terms each at most.
        tolerance = EPSILON * 2 * 162 * float(np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_a_copy_moves_what_is_left() -> None:
    nodes = (_conv("a", "x", 1), _concat("a", "x"))
    graph = GraphSpec("x", CHANNELS, nodes, ("joined",))
    (step,) = graph.compile(_weights(graph), threads=1, isa=None).steps(HEIGHT, WIDTH)[1:]
    assert step["bytes"] == 2 * 4 * HEIGHT * WIDTH * CHANNELS


def test_nothing_lies_in_between() -> None:
    """Maps that are parts of the output take no memory of their own."""
    graph = GraphSpec("x", CHANNELS, IN_PLACE["convolutions"], ("joined",))
    model = graph.compile(_weights(graph), threads=1, isa=None)
    assert model.arena_bytes(HEIGHT, WIDTH) == 0
