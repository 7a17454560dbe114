"""The networks that are measured, and the work that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd, prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.estimator import read_model
from lpn_core.image.load import load_image
from lpn_core.image.regions import check_boxes, crop, regions
from lpn_core.model.graph import GraphSpec
from lpn_core.quantization.quantize import without_scales
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lpn_core.model.spec import InputSpec, ModelFile

HEIGHT, WIDTH = 256, 192
NAMES = ("lpn50", "lpn101", "lpn152")
BUNDLED = "lpn50"
PHOTO = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"
# Of the photo's one person, x y w h.
PERSON = (16.0, 4.0, 400.0, 500.0)

Weights = Mapping[str, NDArray[np.float32]]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """A graph with its folded weights and the size of its input.

    Attributes:
        name: as in the tables.
        graph: the network.
        weights: float32 arrays called ``<node>.<weight>``.
        height: of the input.
        width: of the input.
    """

    name: str
    graph: GraphSpec
    weights: Weights
    height: int = HEIGHT
    width: int = WIDTH

    def images(self, batch: int, seed: int = 0) -> NDArray[np.float32]:
        """N(0, 1) inputs (batch, height, width, channels)."""
        shape = (batch, self.height, self.width, self.graph.input_channels)
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def photos(self, batch: int, seed: int = 0) -> NDArray[np.float32]:
        """Inputs (batch, height, width, 3) as a user has them: normalised pixels of a person."""
        spec = read_model(BUNDLED).input
        jitter = np.random.default_rng(seed).uniform(-30, 30, (batch, 4))
        photo, order = load_image(PHOTO, order=None, exif=True)
        where = regions(check_boxes(np.asarray(PERSON) + jitter)[0], spec)
        return normalised(to_pixels(crop(photo, order, where, spec), spec), spec)

    def model_file(self) -> ModelFile:
        """A model file's content: that of LPN-50, with this network; only LPN-50 has scales."""
        found = read_model(BUNDLED)
        if self.name == BUNDLED:
            return found
        plain = without_scales(found)
        return replace(plain, name=self.name, graph=self.graph, weights=self.weights)

    def flops(self) -> int:
        """Multiplications and additions for one image, borders counted as the inside is."""
        return matrix_flops(self.graph, self.weights, self.height, self.width)


def network(name: str) -> Network:
    """LPN-50 with the bundled weights, the others with random ones; "lpn50-plain": no attention."""
    if name == BUNDLED:
        model = without_scales(read_model(name))
        weights = dict(model.weights)
        return Network(name, model.graph, weights, model.input.height, model.input.width)
    base, _, plain = name.partition("-")
    state = random_state(int(base.removeprefix("lpn")), attention=not plain)
    return Network(name, *build_lpn(state, int(base.removeprefix("lpn"))))


def normalised(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Inputs (N, H, W, C) of pixels in RGB order."""
    channels = pixels[..., list(spec.channel_map("rgb"))]
    scale, shift = np.asarray([spec.scale, spec.shift], np.float32)
    images: NDArray[np.float32] = channels * scale + shift
    return images


def to_pixels(images: NDArray[np.float32], spec: InputSpec) -> NDArray[np.uint8]:
    """The nearest pixels, (N, H, W, C) in RGB order, of inputs."""
    scale, shift = np.asarray([spec.scale, spec.shift], np.float32)
    pixels = np.empty(images.shape, np.uint8)
    values = np.rint((images - shift) / scale).clip(0, 255)
    pixels[..., list(spec.channel_map("rgb"))] = values
    return pixels


class _RandomState:
    """Draws a state dict under the official names, layer by layer."""

    def __init__(self, seed: int) -> None:
        self.arrays: dict[str, NDArray[np.float32]] = {}
        self._generator = np.random.default_rng(seed)

    def normal(self, name: str, shape: tuple[int, ...], fan_in: int, gain: float = 2.0) -> None:
        values = self._generator.standard_normal(shape, dtype=np.float32)
        self.arrays[name] = values * np.float32(sqrt(gain / fan_in))

    def conv(self, name: str, norm: str, shape: tuple[int, ...], gain: float = 2.0) -> None:
        """He's weights (O, C / groups, kh, kw) and a BatchNorm near the identity."""
        self.normal(f"{name}.weight", shape, prod(shape[1:]), gain)
        self.norm(norm, shape[0])

    def norm(self, name: str, channels: int) -> None:
        for what in ("weight", "running_var"):
            values = self._generator.uniform(0.8, 1.2, channels)
            self.arrays[f"{name}.{what}"] = values.astype(np.float32)
        for what in ("bias", "running_mean"):
            values = self._generator.normal(0.0, 0.1, channels)
            self.arrays[f"{name}.{what}"] = values.astype(np.float32)

    def global_context(self, name: str, channels: int) -> None:
        hidden = max(channels // 16, 16)
        self.normal(f"{name}.conv_mask.weight", (1, channels, 1, 1), channels, 0.1)
        self.normal(f"{name}.conv_mask.bias", (1,), 1, 0.1)
        add = f"{name}.channel_add_conv"
        self.normal(f"{add}.0.weight", (hidden, channels, 1, 1), channels)
        self.normal(f"{add}.0.bias", (hidden,), 1, 0.01)
        self.arrays[f"{add}.1.weight"] = np.ones((hidden, 1, 1), np.float32)
        self.arrays[f"{add}.1.bias"] = np.zeros((hidden, 1, 1), np.float32)
        self.normal(f"{add}.3.weight", (channels, hidden, 1, 1), hidden, 0.01)
        self.normal(f"{add}.3.bias", (channels,), 1, 0.01)


def random_state(depth: int, *, attention: bool, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A random LPN's state dict; each block adds little, so that activations keep their size."""
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    state = _RandomState(seed)
    state.conv("conv1", "bn1", (64, 3, 7, 7))
    channels = 64
    for stage, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            state.conv(f"{name}.conv1", f"{name}.bn1", (width, channels, 1, 1))
            state.conv(f"{name}.conv2", f"{name}.bn2", (width, 1, 3, 3))
            state.conv(f"{name}.conv3", f"{name}.bn3", (width, width, 1, 1), 1 / sum(blocks))
            if attention:
                state.global_context(f"{name}.att", width)
            if block == 0 and width != 64:
                shape = (width, channels, 1, 1)
                state.conv(f"{name}.downsample.0", f"{name}.downsample.1", shape, 1.0)
            channels = width
    for first in (0, 6):
        group = channels // gcd(channels, 256)
        # At stride 2 a quarter of the 16 taps meet in one output.
        state.normal(
            f"deconv_layers.{first}.weight", (channels, 256 // gcd(channels, 256), 4, 4), 4 * group
        )
        state.norm(f"deconv_layers.{first + 1}", 256)
        state.conv(f"deconv_layers.{first + 3}", f"deconv_layers.{first + 4}", (256, 256, 1, 1))
        channels = 256
    state.normal("final_layer.weight", (17, 256, 1, 1), 256)
    state.normal("final_layer.bias", (17,), 1, 0.01)
    return state.arrays


def shapes(graph: GraphSpec, weights: Weights, height: int, width: int) -> dict[str, Shape]:
    """(h, w, c) of every tensor of a graph for one input size."""
    return graph.build(weights).shapes(height, width)


def matrix_flops(graph: GraphSpec, weights: Weights, height: int, width: int) -> int:
    """2 x multiply-adds of a graph's convolutions and attention blocks, for one image.

    Counted from the network's definition: what a plan fuses, skips or adds does not change it.
    """
    found = shapes(graph, weights, height, width)
    total = 0
    for node in graph.nodes:
        h, w, c = found[node.name]
        if node.kind == "conv2d":
            total += h * w * weights[f"{node.name}.weight"].size
        elif node.kind == "conv_transpose2d":
            # Each input pixel meets the whole kernel once.
            h, w, _ = found[node.inputs[0]]
            total += h * w * weights[f"{node.name}.weight"].size
        elif node.kind == "gc_block":
            hidden = len(weights[f"{node.name}.b1"])
            total += 2 * h * w * c + 2 * hidden * c
        elif node.kind == "se_block":
            total += 2 * weights[f"{node.name}.w1"].size
    return 2 * total
