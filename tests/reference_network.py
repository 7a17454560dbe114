"""Independent NumPy reference of the network, from the paper's table and the official keys.

Written from arXiv 1911.10346 and the names in its official checkpoints; it shares no code, no table
and no helper with ``lpn_core`` or ``lpn_training``. Tensors are (N, C, H, W); what they hold is
computed in the type of the images, float64 for a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
State = Mapping[str, NDArray[Any]]

# Lightweight bottlenecks in layer1 to layer4.
LPN_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
NORM_FIELDS = ("weight", "bias", "running_mean", "running_var")


def lpn_shapes(depth: int, attention: str, joints: int = 17) -> dict[str, tuple[int, ...]]:
    """The shapes of a state dict under its official keys; ``attention``: "gc", "se" or "none"."""
    shapes: dict[str, tuple[int, ...]] = {}

    def add_norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{field}": (width,) for field in NORM_FIELDS})
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    add_norm("bn1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        hidden = {64: 16, 128: 16, 256: 16, 512: 32}[width]
        for block in range(LPN_BLOCKS[depth][stage - 1]):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 1, 1)
            add_norm(f"{name}.bn1", width)
            shapes[f"{name}.conv2.weight"] = (width, 1, 3, 3)
            add_norm(f"{name}.bn2", width)
            shapes[f"{name}.conv3.weight"] = (width, width, 1, 1)
            add_norm(f"{name}.bn3", width)
            if attention == "gc":
                shapes[f"{name}.att.conv_mask.weight"] = (1, width, 1, 1)
                shapes[f"{name}.att.conv_mask.bias"] = (1,)
                shapes[f"{name}.att.channel_add_conv.0.weight"] = (hidden, width, 1, 1)
                shapes[f"{name}.att.channel_add_conv.0.bias"] = (hidden,)
                shapes[f"{name}.att.channel_add_conv.1.weight"] = (hidden, 1, 1)
                shapes[f"{name}.att.channel_add_conv.1.bias"] = (hidden, 1, 1)
                shapes[f"{name}.att.channel_add_conv.3.weight"] = (width, hidden, 1, 1)
                shapes[f"{name}.att.channel_add_conv.3.bias"] = (width,)
            elif attention == "se":
                shapes[f"{name}.att.fc.0.weight"] = (hidden, width)
                shapes[f"{name}.att.fc.2.weight"] = (width, hidden)
            if block == 0 and stage > 1:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                add_norm(f"{name}.downsample.1", width)
            before = width
    # Transposed convolutions are stored (in, out / groups, kh, kw); both have 256 groups.
    for index, inputs in ((0, 512), (6, 256)):
        shapes[f"deconv_layers.{index}.weight"] = (inputs, 1, 4, 4)
        add_norm(f"deconv_layers.{index + 1}", 256)
        shapes[f"deconv_layers.{index + 3}.weight"] = (256, 256, 1, 1)
        add_norm(f"deconv_layers.{index + 4}", 256)
    shapes["final_layer.weight"] = (joints, 256, 1, 1)
    shapes["final_layer.bias"] = (joints,)
    return shapes


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _taps(x: Array, kernel: int, stride: int, padding: int, fill: float) -> list[Array]:
    """What each of kernel x kernel taps sees, row by row: (N, C, h, w) of the output's size."""
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, border, constant_values=fill)
    height = (x.shape[2] + 2 * padding - kernel) // stride + 1
    width = (x.shape[3] + 2 * padding - kernel) // stride + 1
    return [
        padded[:, :, i : i + stride * height : stride, j : j + stride * width : stride][
            :, :, :height, :width
        ]
        for i in range(kernel)
        for j in range(kernel)
    ]


def convolve(x: Array, weight: Array, stride: int = 1, padding: int = 0) -> Array:
    """Dense convolution, weight (O, C, k, k)."""
    outputs, channels, kernel, _ = weight.shape
    columns = np.stack(_taps(x, kernel, stride, padding, 0), axis=2)
    n, _, _, height, width = columns.shape
    flat = columns.reshape(n, channels * kernel * kernel, height * width)
    return (weight.reshape(outputs, -1) @ flat).reshape(n, outputs, height, width)


def convolve_depthwise(x: Array, weight: Array, stride: int) -> Array:
    """3x3 convolution of each channel by itself, padding 1, weight (C, 1, 3, 3)."""
    taps = _taps(x, 3, stride, 1, 0)
    flat = weight.reshape(-1, 9)
    return np.asarray(sum(flat[:, t, None, None] * seen for t, seen in enumerate(taps)))


def convolve_transposed(x: Array, weight: Array) -> Array:
    """4x4, stride 2, padding 1, to 256 channels in 256 groups: weight (C, 1, 4, 4)."""
    n, channels, height, width = x.shape
    full = np.zeros((n, 256, 2 * height + 2, 2 * width + 2), x.dtype)
    for i in range(4):
        for j in range(4):
            scaled = x * weight[:, 0, i, j][:, None, None]
            # Each group is of neighbouring input channels.
            grouped = scaled.reshape(n, 256, channels // 256, height, width).sum(axis=2)
            full[:, :, i : i + 2 * height : 2, j : j + 2 * width : 2] += grouped
    return full[:, :, 1:-1, 1:-1]


def max_pool(x: Array) -> Array:
    """3x3, stride 2, padding 1."""
    return np.asarray(np.max(_taps(x, 3, 2, 1, -np.inf), axis=0))


class _Lpn:
    """The weights in float64, and which of them were used."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.used: set[str] = set()

    def take(self, key: str) -> Array:
        self.used.add(key)
        return np.asarray(self._state[key], np.float64)

    def norm(self, x: Array, name: str) -> Array:
        """BatchNorm as in evaluation: the running statistics, epsilon 1e-5."""
        weight, bias, mean, variance = (
            self.take(f"{name}.{field}")[:, None, None] for field in NORM_FIELDS
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def gc_block(self, x: Array, name: str) -> Array:
        """``x + w2 relu(layer_norm(w1 context + b1)) + b2``; the softmax is over positions."""
        n, channels, height, width = x.shape
        positions = x.reshape(n, channels, height * width)
        mask = self.take(f"{name}.conv_mask.weight").reshape(channels)
        logits = np.einsum("c,ncp->np", mask, positions) + self.take(f"{name}.conv_mask.bias")
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        context = np.einsum("ncp,np->nc", positions, weights)
        add = f"{name}.channel_add_conv"
        first = self.take(f"{add}.0.weight").reshape(-1, channels)
        hidden = context @ first.T + self.take(f"{add}.0.bias")
        centred = hidden - hidden.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        gain, shift = (self.take(f"{add}.1.{part}").reshape(-1) for part in ("weight", "bias"))
        hidden = relu(centred / deviation * gain + shift)
        second = self.take(f"{add}.3.weight").reshape(channels, -1)
        added = hidden @ second.T + self.take(f"{add}.3.bias")
        return x + added[:, :, None, None]

    def se_block(self, x: Array, name: str) -> Array:
        """``x * sigmoid(w2 relu(w1 mean_p x_p))``."""
        hidden = relu(x.mean(axis=(2, 3)) @ self.take(f"{name}.fc.0.weight").T)
        gate = 1 / (1 + np.exp(-(hidden @ self.take(f"{name}.fc.2.weight").T)))
        return x * gate[:, :, None, None]

    def bottleneck(self, x: Array, name: str, stride: int, attention: str) -> Array:
        y = relu(self.norm(convolve(x, self.take(f"{name}.conv1.weight")), f"{name}.bn1"))
        y = convolve_depthwise(y, self.take(f"{name}.conv2.weight"), stride)
        y = relu(self.norm(y, f"{name}.bn2"))
        y = self.norm(convolve(y, self.take(f"{name}.conv3.weight")), f"{name}.bn3")
        if attention == "gc":
            y = self.gc_block(y, f"{name}.att")
        elif attention == "se":
            y = self.se_block(y, f"{name}.att")
        shortcut = x
        if y.shape != x.shape:
            shortcut = convolve(x, self.take(f"{name}.downsample.0.weight"), stride)
            shortcut = self.norm(shortcut, f"{name}.downsample.1")
        return relu(y + shortcut)

    def forward(self, x: Array, depth: int, attention: str) -> Array:
        x = relu(self.norm(convolve(x, self.take("conv1.weight"), stride=2, padding=3), "bn1"))
        x = max_pool(x)
        for stage, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
            for block in range(LPN_BLOCKS[depth][stage - 1]):
                name = f"layer{stage}.{block}"
                x = self.bottleneck(x, name, stride if block == 0 else 1, attention)
        for index in (0, 6):
            x = convolve_transposed(x, self.take(f"deconv_layers.{index}.weight"))
            x = relu(self.norm(x, f"deconv_layers.{index + 1}"))
            x = convolve(x, self.take(f"deconv_layers.{index + 3}.weight"))
            x = relu(self.norm(x, f"deconv_layers.{index + 4}"))
        bias = self.take("final_layer.bias")[:, None, None]
        return convolve(x, self.take("final_layer.weight")) + bias


def lpn(state: State, images: NDArray[Any], depth: int, attention: str) -> NDArray[np.float64]:
    """Heatmaps (N, h, w, K) of normalised images (N, H, W, 3), in float64 from float32 weights."""
    results = []
    for image in images:
        network = _Lpn(state)
        x = image.astype(np.float64).transpose(2, 0, 1)[None]
        results.append(network.forward(x, depth, attention)[0].transpose(1, 2, 0))
        unused = {key for key in state if not key.endswith("num_batches_tracked")} - network.used
        if unused:
            raise ValueError(f"the network has no {sorted(unused)}")
    return np.stack(results)
