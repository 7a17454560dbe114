"""The cases of shapes.toml: as one small graph each, or as a kernel of its own with its inputs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lpn_core import _core
from lpn_core.model.graph import Attribute, GraphSpec, NodeSpec
from networks import Network, network, shapes
from numpy.typing import NDArray

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("shapes.toml")
GRAPH_OPS = (*_core.node_kinds(), "lpn50")
BETA = 160.0
CROP_HEIGHT, CROP_WIDTH = 256, 192

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One entry of shapes.toml.

    Attributes:
        name: as in the table.
        op: a node kind, "lpn50" for a stretch of the network, or a function of ``lpn_core``.
        input: shape of its input, see the file.
        width: output channels.
        kernel: height and width of the kernel.
        stride: of the kernel.
        padding: on each side.
        groups: of the convolution.
        factor: by which a map grows.
        first: of a stretch, the first node.
        last: of a stretch, the last node.
    """

    name: str
    op: str
    input: tuple[int, ...] = ()
    width: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    factor: int = 1
    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def is_graph(self) -> bool:
        """Whether :func:`graph_case` makes a network of it."""
        return self.op in GRAPH_OPS


def read_cases() -> list[Case]:
    """All cases, in the file's order."""
    entries = tomllib.loads(FILE.read_text())["case"]
    return [Case(**{**entry, "input": tuple(entry.get("input", ()))}) for entry in entries]


def graph_case(case: Case) -> Network:
    """The case as a network with its weights; a node of several inputs reads its one twice."""
    return _stretch(case) if case.op == "lpn50" else _single_node(case)


def _stretch(case: Case) -> Network:
    whole = network("lpn50")
    names = [node.name for node in whole.graph.nodes]
    begin, end = names.index(case.first), names.index(case.last) + 1
    nodes = whole.graph.nodes[begin:end]
    source = nodes[0].inputs[0]
    height, width, channels = shapes(whole.graph, whole.weights, whole.height, whole.width)[source]
    graph = GraphSpec(source, channels, nodes, (case.last,))
    weights = {name: whole.weights[name] for name in graph.weight_names()}
    return Network(case.name, graph, weights, height, width)


def _single_node(case: Case) -> Network:
    height, width, channels = case.input
    generator = np.random.default_rng(1)

    def normal(*shape: int, fan_in: int = 1) -> NDArray[np.float32]:
        values = generator.standard_normal(shape, dtype=np.float32)
        values /= np.float32(np.sqrt(fan_in))
        return values

    kind = _core.node_kinds()[case.op]
    given: dict[str, Attribute] = {"activation": "none", "epsilon": 1e-5}
    attributes = {
        name: given[name] if name in given else getattr(case, name) for name in kind["attributes"]
    }
    weights: dict[str, NDArray[np.float32]] = {}
    if "weight" in kind["weights"]:
        taps = case.kernel, case.kernel
        group = channels // case.groups
        fan_in = group * case.kernel**2
        if case.op == "conv2d":
            weights["weight"] = normal(case.width, group, *taps, fan_in=fan_in)
        else:
            weights["weight"] = normal(channels, case.width // case.groups, *taps, fan_in=fan_in)
        weights["bias"] = normal(case.width)
    elif "w1" in kind["weights"]:
        hidden = max(channels // 16, 16)
        weights["w1"] = normal(hidden, channels, fan_in=channels)
        weights["w2"] = normal(channels, hidden, fan_in=hidden)
        if case.op == "gc_block":
            weights["mask_weight"] = normal(channels, fan_in=channels)
            weights["mask_bias"] = normal(1)
            weights |= {name: normal(hidden) for name in ("b1", "norm_weight", "norm_bias")}
            weights["b2"] = normal(channels)
    least, most = kind["inputs"]
    inputs = ("x",) * (least if most == least else least + 1)
    node = NodeSpec(case.op, "node", inputs, attributes, tuple(weights))
    graph = GraphSpec("x", channels, (node,), ("node",))
    named = {f"node.{name}": array for name, array in weights.items()}
    return Network(case.name, graph, named, height, width)


def heatmaps(case: Case) -> NDArray[np.float32]:
    """(N, K, H, W): a Gaussian peak of sigma 2 each, somewhere, under noise of 0.02."""
    n, k, h, w = case.input
    generator = np.random.default_rng(2)
    x = generator.uniform(4, w - 5, (n, k, 1, 1))
    y = generator.uniform(4, h - 5, (n, k, 1, 1))
    squared = (np.arange(w) - x) ** 2 + (np.arange(h)[:, None] - y) ** 2
    noise = generator.normal(0, 0.02, case.input)
    return (np.exp(-squared / 8) + noise).astype(np.float32)


def photo(case: Case) -> NDArray[np.uint8]:
    """(H, W, 3) smooth colours under noise."""
    h, w, _ = case.input
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:h, :w]
    waves = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 50)], axis=-1)
    pixels = 128 + 80 * waves + generator.normal(0, 10, case.input)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def crop_matrix() -> NDArray[np.float64]:
    """(2, 3) crop pixel -> photo pixel: a person 460 pixels wide, standing in the middle."""
    scale = 460 / CROP_WIDTH
    return np.array([[scale, 0, 960 - scale * CROP_WIDTH / 2], [0, scale, 540 - scale * 128]])


def work(case: Case) -> tuple[int, int]:
    """(multiply-add operations x 2, least bytes moved) of one run; 0 operations: not arithmetic."""
    if case.is_graph:
        net = graph_case(case)
        found = shapes(net.graph, net.weights, net.height, net.width)
        ends = (found[net.graph.input_name], found[net.graph.outputs[0]])
        values = sum(h * w * c for h, w, c in ends) + sum(a.size for a in net.weights.values())
        return net.flops(), 4 * values
    if case.op == "crop_affine":
        # Each source pixel of the crop's area once, as bytes, and the crop as floats.
        area = int(crop_matrix()[0, 0] ** 2 * CROP_HEIGHT * CROP_WIDTH)
        return 0, 3 * area + 12 * CROP_HEIGHT * CROP_WIDTH
    return 0, 4 * int(np.prod(case.input))


def smoke_cases() -> list[Case]:
    """One case of each operation, the first, with fewer heatmaps."""
    seen: dict[str, Case] = {}
    for case in read_cases():
        seen.setdefault(case.op, case)
    return [
        replace(case, input=(2, *case.input[1:])) if len(case.input) == 4 else case
        for case in seen.values()
    ]
