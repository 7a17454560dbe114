"""Tensors as PyTorch's users have them: taken as they are, or with a hint that works."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import lpn_core
import numpy as np
import pytest
from lpn_core import PoseEstimator, ops

IMAGE = np.zeros((40, 30, 3), np.uint8)
BOX = [[0, 0, 20, 30]]

# What is given, who refuses it, and how it then is to be given; {} is the argument.
HINTS: dict[str, tuple[str, str, str]] = {
    "image of floats": ("image.float()", "image", "(image * 255).round().byte()"),
    "image of bfloat16": ("image.bfloat16()", "image", "(image * 255).round().byte()"),
    "image with a gradient": (
        "image.float().requires_grad_()", "image", "(image * 255).round().byte()",
    ),
    "image of integers": ("image.int()", "image", "image.byte()"),
    "image of truth values": ("image.bool()", "image", "image.byte() * 255"),
    "image, channels first": ("image.permute(2, 0, 1)", "image", "image.permute(1, 2, 0)"),
    "image, grey": ("image[..., 0]", "image", "torch.stack([image] * 3, -1)"),
    "image, one channel": ("image[..., :1]", "image", "image.expand(-1, -1, 3)"),
    "image, four channels": ("torch.cat([image, image], 2)[..., :4]", "image", "image[..., :3]"),
    "boxes with a gradient": ("boxes.float().requires_grad_()", "boxes", "boxes.detach()"),
    "boxes of bfloat16": ("boxes.bfloat16()", "boxes", "boxes.float()"),
    "crops of bfloat16": ("crops.bfloat16()", "crops", "crops.float()"),
    "crops with a gradient": (
        "crops.bfloat16().requires_grad_()", "crops", "crops.detach().float()",
    ),
    "crops, one": ("crops[0]", "crops", "crops[None]"),
    "crops, channels first": (
        "crops.permute(0, 3, 1, 2).contiguous()", "crops",
        "crops.permute(0, 2, 3, 1).contiguous()",
    ),
    "crops, channels last in memory": (
        "crops.permute(0, 3, 1, 2)", "crops", "crops.permute(0, 2, 3, 1)",
    ),
    "crops, sides exchanged": ("crops.permute(0, 2, 1, 3)", "crops", "crops.contiguous()"),
    "heatmaps of float64": ("heatmaps.double()", "heatmaps", "heatmaps.float()"),
    "heatmaps of float16": ("heatmaps.half()", "heatmaps", "heatmaps.float()"),
    "heatmaps in no layout": ("heatmaps.permute(0, 1, 3, 2)", "heatmaps", "heatmaps.contiguous()"),
    "matrices of float32": ("matrices.float()", "matrices", "matrices.double()"),
    "matrices of bfloat16": ("matrices.bfloat16()", "matrices", "matrices.double()"),
    "x, channels last in memory": ("x.permute(0, 3, 1, 2)", "x", "x.permute(0, 2, 3, 1)"),
}  # fmt: skip


@pytest.mark.parametrize("name", HINTS)
def test_hints_for_tensors_work(name: str, estimator: PoseEstimator) -> None:
    torch = pytest.importorskip("torch")
    given, argument, hint = HINTS[name]
    tensors: dict[str, Any] = {
        "image": torch.full((40, 30, 3), 7, dtype=torch.uint8),
        "boxes": torch.tensor(BOX),
        "crops": torch.rand(1, 64, 64, 3),
        "heatmaps": torch.rand(1, 2, 8, 6),
        "matrices": torch.zeros(1, 2, 3, dtype=torch.float64),
        "x": torch.rand(1, 8, 6, 3),
    }
    calls: dict[str, Callable[[Any], object]] = {
        "image": lambda image: estimator(image, BOX, order="rgb"),
        "boxes": lambda boxes: estimator(IMAGE, boxes, order="rgb"),
        "crops": estimator.model,
        "heatmaps": lambda heatmaps: lpn_core.soft_argmax(heatmaps, layout="nchw"),
        "matrices": lambda matrices: ops.crop_affine(IMAGE, matrices, 8, 8),
        "x": ops.channel_mean,
    }
    call = calls[argument]
    call(tensors[argument])
    wrong = eval(given, {"torch": torch}, tensors)
    with pytest.raises((TypeError, ValueError), match=rf"[ :]{re.escape(hint)}( |;|$)"):
        call(wrong)
    call(eval(hint, {"torch": torch}, {argument: wrong}))


def test_channels_last_heatmaps_are_decoded_where_they_are() -> None:
    torch = pytest.importorskip("torch")
    maps = torch.rand(2, 5, 8, 6)
    last = maps.contiguous(memory_format=torch.channels_last)
    for decode in (lpn_core.soft_argmax, lpn_core.argmax):
        wanted = decode(maps, layout="nchw")
        for given, layout in (
            (last, "nchw"), (maps.permute(0, 2, 3, 1), "nhwc"), (last.permute(0, 2, 3, 1), "nhwc"),
        ):  # fmt: skip
            for found, expected in zip(decode(given, layout=layout), wanted, strict=True):
                np.testing.assert_array_equal(found, expected)
