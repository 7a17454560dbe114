"""A GraphSpec as a PyTorch module, so that PyTorch and what reads its traces run our network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from lpn_core.model.graph import GraphSpec

# What takes several maps.
JOINS: Mapping[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "add": lambda maps: maps[0] + maps[1],
    "concat": lambda maps: torch.cat(tuple(maps), dim=1),
}
ACTIVATIONS = {"relu": functional.relu, "relu6": functional.relu6}


class _GlobalContext(nn.Module):
    def __init__(self, epsilon: float, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        channels, hidden = len(weights["mask_weight"]), len(weights["b1"])
        self.mask = nn.Conv2d(channels, 1, 1)
        self.mask.weight.data = weights["mask_weight"].reshape(1, channels, 1, 1)
        self.mask.bias = nn.Parameter(weights["mask_bias"])
        self.norm = nn.LayerNorm(hidden, eps=epsilon)
        self.norm.weight.data, self.norm.bias.data = weights["norm_weight"], weights["norm_bias"]
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.reduce.weight.data, self.reduce.bias.data = weights["w1"], weights["b1"]
        self.expand.weight.data, self.expand.bias.data = weights["w2"], weights["b2"]

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weights = self.mask(x).reshape(n, h * w, 1).softmax(dim=1)
        context = torch.matmul(x.reshape(n, c, h * w), weights)
        # A vector per image: ncnn normalises each channel of a (c, 1, 1) blob alone.
        y = self.expand(functional.relu(self.norm(self.reduce(context.reshape(n, c)))))
        added: Tensor = x + y.reshape(n, c, 1, 1)
        return added


class _SqueezeExcitation(nn.Module):
    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Parameter(weights["w1"]), nn.Parameter(weights["w2"])

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(functional.linear(x.mean(dim=(2, 3)), self.w1))
        return x * torch.sigmoid(functional.linear(y, self.w2))[:, :, None, None]


def _make_layer(
    kind: str, attributes: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> nn.Module:
    if kind == "max_pool2d":
        return nn.MaxPool2d(attributes["kernel"], attributes["stride"], attributes["padding"])
    if kind == "global_avg_pool":
        return nn.AdaptiveAvgPool2d(1)
    if kind == "upsample_nearest":
        return nn.Upsample(scale_factor=attributes["factor"], mode="nearest")
    if kind == "gc_block":
        return _GlobalContext(attributes["epsilon"], weights)
    if kind == "se_block":
        return _SqueezeExcitation(weights)
    if kind not in ("conv2d", "conv_transpose2d"):
        raise ValueError(f"node kind {kind!r} has no PyTorch form here")
    kernel, groups = weights["weight"], attributes["groups"]
    size = (kernel.shape[2], kernel.shape[3])
    places = {key: attributes[key] for key in ("stride", "padding", "groups")}
    layer: nn.Conv2d | nn.ConvTranspose2d
    if kind == "conv2d":
        layer = nn.Conv2d(kernel.shape[1] * groups, len(kernel), size, **places)
    else:
        layer = nn.ConvTranspose2d(len(kernel), kernel.shape[1] * groups, size, **places)
    layer.weight.data = kernel
    layer.bias = nn.Parameter(weights["bias"]) if "bias" in weights else None
    return layer


class GraphModule(nn.Module):
    """Runs a graph's nodes in their order: (N, C, H, W) to (N, K, h, w)."""

    def __init__(self, graph: GraphSpec, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Takes the weights as they are; nothing refers to ``lpn_core`` afterwards."""
        super().__init__()
        self.source, self.target = graph.input_name, graph.outputs[0]
        self.layers = nn.ModuleDict()
        self.steps: list[tuple[str, str, tuple[str, ...], str]] = []
        for node in graph.nodes:
            activation = str(node.attributes.get("activation", "none"))
            self.steps.append((node.kind, node.name, tuple(node.inputs), activation))
            if node.kind not in JOINS:
                own = {w: torch.from_numpy(weights[f"{node.name}.{w}"]) for w in node.weights}
                layer = _make_layer(node.kind, node.attributes, own)
                self.layers[node.name.replace(".", "_")] = layer

    def forward(self, x: Tensor) -> Tensor:
        values = {self.source: x}
        for kind, name, inputs, activation in self.steps:
            if kind in JOINS:
                y = JOINS[kind]([values[name] for name in inputs])
            else:
                y = self.layers[name.replace(".", "_")](values[inputs[0]])
            values[name] = ACTIVATIONS[activation](y) if activation != "none" else y
        return values[self.target]


def make_module(graph: GraphSpec, weights: Mapping[str, NDArray[np.float32]]) -> GraphModule:
    """The module for inference."""
    module = GraphModule(graph, weights).eval()
    module.requires_grad_(False)
    return module
