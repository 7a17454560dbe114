"""Convolutions that leave bfloat16 on the CPU, where the library has no fast kernel for them.

Measured for one LPN-50 training step at 128 x 96 on one AVX512-BF16 core: 24.9 ms per image with
all convolutions in bfloat16, 13.6 ms with these two kinds in float32 (all in float32: 23.0 ms).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _is_narrow(x: Tensor) -> bool:
    """Whether autocast would run a convolution of ``x`` in reduced precision on the CPU."""
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu")


class DepthwiseConv(nn.Conv2d):
    """3x3 depthwise convolution, padding 1, no bias."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, 1, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] == 1 or not _is_narrow(input):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float()).to(torch.get_autocast_dtype("cpu"))


class GroupedDeconv(nn.ConvTranspose2d):
    """4x4 transposed convolution, stride 2, padding 1, no bias."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, groups=groups, bias=False)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _is_narrow(input):
            return super().forward(input, output_size)
        with torch.autocast("cpu", enabled=False):
            wide = super().forward(input.float(), output_size)
            return wide.to(torch.get_autocast_dtype("cpu"))
