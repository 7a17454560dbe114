"""Random LPNs with the scales that an 8-bit run of them needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from lpn_core import _core
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model.graph import GraphSpec
from lpn_core.quantization.maps import stored_maps
from networks import Network, random_state
from numpy.typing import NDArray
from reference_int8 import Pixels, Scale

PIXELS = Pixels((2, 0, 1), (0.017, 0.0175, 0.0171), (-2.1, -2.0, -1.8))


class QuantizedNetwork:
    """An LPN with random weights, the scales of its maps from one run over random bytes."""

    def __init__(self, network: Network, seed: int = 0) -> None:
        spec, weights = build_lpn(random_state(network, seed=seed), network.depth)
        self.weights = {name: np.asarray(array) for name, array in weights.items()}
        self.graph = replace(spec, nodes=tuple(map(self._with_scales, spec.nodes)))
        self.scales = self._measure(random_bytes(1, 96, 64, seed))

    def _with_scales(self, node: Any) -> Any:
        if node.kind not in ("conv2d", "conv_transpose2d"):
            return node
        w = self.weights[f"{node.name}.weight"].astype(np.float64)
        if node.inputs[0] == "input":
            # Its weights are for a pixel's bytes.
            folded = np.zeros_like(w)
            for c, p in enumerate(PIXELS.channel_map):
                folded[:, p] += w[:, c] * PIXELS.scale[c]
            w = folded
        if node.kind == "conv_transpose2d":
            # Channel group * (O / groups) + o of the result.
            groups = node.attributes["groups"]
            w = w.reshape(groups, -1, *w.shape[1:]).transpose(0, 2, 1, 3, 4)
            w = w.reshape(-1, *w.shape[2:])
        scale = np.abs(w).reshape(len(w), -1).max(axis=1) / 120  # some weights are beyond 127
        self.weights[f"{node.name}.weight_scale"] = (scale * 0.98).astype(np.float32)
        return replace(node, weights=(*node.weights, "weight_scale"))

    def _measure(self, images: NDArray[np.uint8]) -> dict[str, Scale]:
        stored = stored_maps(self.graph)
        every = replace(self.graph, outputs=tuple(stored))
        model = self.compile(graph=every, precision="fp32")
        floats = np.empty(images.shape, np.float32)
        for c, p in enumerate(PIXELS.channel_map):
            floats[..., c] = images[..., p] * PIXELS.scale[c] + PIXELS.shift[c]
        scales = {}
        for name, values in zip(stored, model.run_all(floats), strict=True):
            low, high = min(float(values.min()), 0.0) * 0.9, float(values.max()) * 0.9
            scale = float(np.float32((high - low) / 255))
            scales[name] = Scale(scale, round(-low / scale))
        for node in self.graph.nodes:
            if node.kind == "max_pool2d":
                scales[node.name] = scales[node.inputs[0]]
        return scales

    def compile(
        self, graph: GraphSpec | None = None, *, precision: str = "int8", **options: Any
    ) -> Any:  # _core.CompiledModel
        """The network as a compiled model."""
        built = (graph or self.graph).build(self.weights)
        if precision == "int8":
            for name, scale in self.scales.items():
                built.set_quantization(name, scale.scale, scale.zero_point)
            built.set_pixels(PIXELS.channel_map, PIXELS.scale, PIXELS.shift)
        options = {"threads": 1, "isa": "auto", **options}
        return _core.CompiledModel(built, precision=precision, **options)


def run_bytes(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A compiled model's heatmaps of (N, H, W, 3) RGB bytes."""
    heatmaps: NDArray[np.float32] = model.run_u8(
        images, PIXELS.channel_map, PIXELS.scale, PIXELS.shift
    )
    return heatmaps


def random_bytes(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Images (count, height, width, 3)."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
