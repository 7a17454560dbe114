"""The Lightweight Pose Network (arXiv 1911.10346), under its official key names."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.convert.architectures.fold import StateReader
from lpn_core.model.graph import Attribute, GraphSpec, NodeSpec

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
ATTENTIONS = ("gc", "se", "none")

_STEM_WIDTH = 64
_STAGE_WIDTHS = (64, 128, 256, 512)
# The paper removes the downsampling of the last stage.
_STAGE_STRIDES = (1, 2, 2, 1)
_HEAD_WIDTH = 256
_GC_EPSILON = 1e-5


def build_lpn(
    state_dict: Mapping[str, NDArray[Any]], depth: int, attention: str = "auto"
) -> tuple[GraphSpec, dict[str, NDArray[np.float32]]]:
    """Builds LPN-50, -101 or -152 with BatchNorm folded into the convolutions, in float64.

    Args:
        state_dict: the official names, with or without the prefix ``module.`` and
            ``num_batches_tracked``; any number of joints.
        depth: 50, 101 or 152.
        attention: "gc", "se", "none", or "auto" for what the keys show.

    Returns:
        The graph and its float32 weights, called ``<node>.<weight>``.

    Raises:
        ValueError: not a state dict of this network; every kind of difference is listed.
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth is {depth!r}; wanted one of {', '.join(map(str, BLOCKS))}")
    reader = StateReader(state_dict)
    if attention == "auto":
        attention = _detect_attention(reader)
    elif attention not in ATTENTIONS:
        raise ValueError(f"attention is {attention!r}; wanted 'auto' or one of {ATTENTIONS}")
    _refuse_variants(reader)
    builder = _LpnBuilder(reader, attention)
    builder.add_stem()
    for stage, (blocks, width, stride) in enumerate(
        zip(BLOCKS[depth], _STAGE_WIDTHS, _STAGE_STRIDES, strict=True), start=1
    ):
        for block in range(blocks):
            builder.add_bottleneck(f"layer{stage}.{block}", width, stride if block == 0 else 1)
    builder.add_head()
    reader.finish(f"lpn{depth} (attention {attention})")
    graph = GraphSpec("image", 3, tuple(builder.nodes), ("final_layer",))
    return graph, builder.weights


def _detect_attention(reader: StateReader) -> str:
    if any(".att.conv_mask." in key for key in reader.names()):
        return "gc"
    if any(".att.fc." in key for key in reader.names()):
        return "se"
    return "none"


def _refuse_variants(reader: StateReader) -> None:
    biased = [
        key
        for key in ("deconv_layers.0.bias", "deconv_layers.6.bias")
        if reader.shape(key) is not None
    ]
    if biased:
        raise ValueError(
            f"{', '.join(biased)}: this checkpoint has biased deconvolutions "
            "(DECONV_WITH_BIAS), a variant that is not supported; wanted deconvolutions without"
        )
    final = reader.shape("final_layer.weight")
    if final is not None and len(final) == 4 and final[2:] != (1, 1):
        raise ValueError(
            f"final_layer.weight is {final}: a {final[2]}x{final[3]} final layer "
            "(FINAL_CONV_KERNEL) is a variant that is not supported; wanted 1x1"
        )


class _LpnBuilder:
    """Appends nodes and folded weights, following ``current``, the last tensor's name and width."""

    def __init__(self, reader: StateReader, attention: str) -> None:
        self.nodes: list[NodeSpec] = []
        self.weights: dict[str, NDArray[np.float32]] = {}
        self._reader = reader
        self._attention = attention
        self._current = "image"
        self._width = 3

    def add_stem(self) -> None:
        self._add_conv("conv1", "bn1", _STEM_WIDTH, kernel=7, stride=2, activation="relu")
        self._add_node("max_pool2d", "maxpool", {"kernel": 3, "stride": 2, "padding": 1})

    def add_bottleneck(self, name: str, width: int, stride: int) -> None:
        source, source_width = self._current, self._width
        self._add_conv(f"{name}.conv1", f"{name}.bn1", width, activation="relu")
        self._add_conv(
            f"{name}.conv2",
            f"{name}.bn2",
            width,
            kernel=3,
            stride=stride,
            groups=width,
            activation="relu",
        )
        self._add_conv(f"{name}.conv3", f"{name}.bn3", width)
        if self._attention == "gc":
            self._add_gc_block(f"{name}.att")
        elif self._attention == "se":
            self._add_se_block(f"{name}.att")
        residual = self._current
        shortcut = source
        if stride != 1 or source_width != width:
            self._current, self._width = source, source_width
            shortcut = f"{name}.downsample"
            self._add_conv(
                f"{name}.downsample.0", f"{name}.downsample.1", width, stride=stride, node=shortcut
            )
        self.nodes.append(NodeSpec("add", name, (residual, shortcut), {"activation": "relu"}))
        self._current, self._width = name, width

    def add_head(self) -> None:
        for first in (0, 6):
            self._add_deconv(f"deconv_layers.{first}", f"deconv_layers.{first + 1}", _HEAD_WIDTH)
            self._add_conv(
                f"deconv_layers.{first + 3}",
                f"deconv_layers.{first + 4}",
                _HEAD_WIDTH,
                activation="relu",
            )
        final = self._reader.shape("final_layer.weight")
        joints = final[0] if final else 17
        weight = self._reader.take("final_layer.weight", (joints, self._width, 1, 1))
        bias = self._reader.take("final_layer.bias", (joints,))
        self._add_node("conv2d", "final_layer", _conv_attributes(), weight=weight, bias=bias)
        self._width = joints

    def _add_node(
        self, kind: str, name: str, attributes: dict[str, Attribute], **weights: NDArray[np.float64]
    ) -> None:
        self.nodes.append(NodeSpec(kind, name, (self._current,), attributes, tuple(weights)))
        for weight, array in weights.items():
            self.weights[f"{name}.{weight}"] = np.ascontiguousarray(array, np.float32)
        self._current = name

    def _add_conv(
        self,
        key: str,
        norm_key: str,
        width: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "none",
        node: str | None = None,
    ) -> None:
        shape = (width, self._width // groups, kernel, kernel)
        weight = self._reader.take(f"{key}.weight", shape)
        scale, shift = self._reader.take_batch_norm(norm_key, width)
        attributes = _conv_attributes(stride, kernel // 2, groups, activation)
        weight = weight * scale[:, None, None, None]
        self._add_node("conv2d", node or key, attributes, weight=weight, bias=shift)
        self._width = width

    def _add_deconv(self, key: str, norm_key: str, width: int) -> None:
        groups = gcd(self._width, width)
        weight = self._reader.take(f"{key}.weight", (self._width, width // groups, 4, 4))
        scale, shift = self._reader.take_batch_norm(norm_key, width)
        # weight[c, o] makes output (c's group) * (width / groups) + o.
        per_group = scale.reshape(groups, width // groups)
        weight = weight * np.repeat(per_group, self._width // groups, axis=0)[:, :, None, None]
        attributes = _conv_attributes(2, 1, groups, "relu")
        self._add_node("conv_transpose2d", key, attributes, weight=weight, bias=shift)
        self._width = width

    def _add_gc_block(self, key: str) -> None:
        channels = self._width
        hidden = max(channels // 16, 16)
        take = self._reader.take
        add = f"{key}.channel_add_conv"
        self._add_node(
            "gc_block",
            key,
            {"epsilon": _GC_EPSILON},
            mask_weight=take(f"{key}.conv_mask.weight", (1, channels, 1, 1)).reshape(-1),
            mask_bias=take(f"{key}.conv_mask.bias", (1,)),
            w1=take(f"{add}.0.weight", (hidden, channels, 1, 1)).reshape(hidden, channels),
            b1=take(f"{add}.0.bias", (hidden,)),
            norm_weight=take(f"{add}.1.weight", (hidden, 1, 1)).reshape(-1),
            norm_bias=take(f"{add}.1.bias", (hidden, 1, 1)).reshape(-1),
            w2=take(f"{add}.3.weight", (channels, hidden, 1, 1)).reshape(channels, hidden),
            b2=take(f"{add}.3.bias", (channels,)),
        )

    def _add_se_block(self, key: str) -> None:
        channels = self._width
        hidden = max(channels // 16, 16)
        self._add_node(
            "se_block",
            key,
            {},
            w1=self._reader.take(f"{key}.fc.0.weight", (hidden, channels)),
            w2=self._reader.take(f"{key}.fc.2.weight", (channels, hidden)),
        )


def _conv_attributes(
    stride: int = 1, padding: int = 0, groups: int = 1, activation: str = "none"
) -> dict[str, Attribute]:
    return {"stride": stride, "padding": padding, "groups": groups, "activation": activation}
