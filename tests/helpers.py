"""Small models and pictures that tests share."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np
from lpn_core import keypoints
from lpn_core.convert import self_test_keypoints, synthetic_crops
from lpn_core.graph_spec import GraphSpec, NodeSpec
from lpn_core.model import Model
from lpn_core.model_file import DecodeSpec, InputSpec, ModelFile, Provenance, SelfTest
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 48
CONV: dict[str, int | float | str] = {"stride": 4, "padding": 0, "groups": 1, "activation": "none"}


def tiny_model_file(keypoint_set: str = "coco17", seed: int = 0, **changes: Any) -> ModelFile:
    """A model of one 4x4 convolution with stride 4: :func:`tiny_heatmaps` is its reference."""
    generator = np.random.default_rng(seed)
    joints = len(keypoints.get(keypoint_set))
    weights = {
        "head.weight": generator.normal(0, 0.05, (joints, 3, 4, 4)).astype(np.float32),
        "head.bias": generator.normal(0, 0.05, joints).astype(np.float32),
    }
    values: dict[str, Any] = {
        "name": "tiny",
        "graph": GraphSpec(
            "image", 3, (NodeSpec("conv2d", "head", ("image",), CONV, ("weight", "bias")),), "head"
        ),
        "input": InputSpec(channel_order="rgb", height=HEIGHT, width=WIDTH),
        "decode": DecodeSpec(),
        "keypoints": keypoint_set,
        "provenance": Provenance(notes="for tests"),
        "weights": weights,
    }
    values.update(changes)
    spec = values["input"]
    crops = synthetic_crops(spec.height, spec.width)
    made = ModelFile(**values, self_test=SelfTest(crops, np.zeros((2, joints, 2))))
    with Model(made, threads=1) as model:
        return replace(made, self_test=SelfTest(crops, self_test_keypoints(model)))


def tiny_heatmaps(model_file: ModelFile, crops: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K, h, w) in float64: what the tiny model gives for normalised (N, H, W, 3) crops."""
    n, height, width, _ = crops.shape
    patches = crops.astype(np.float64).reshape(n, height // 4, 4, width // 4, 4, 3)
    weight = model_file.weights["head.weight"].astype(np.float64)
    heatmaps = np.einsum("nyixjc,kcij->nkyx", patches, weight)
    result: NDArray[np.float64] = heatmaps + model_file.weights["head.bias"][:, None, None]
    return result


def photograph(height: int = 120, width: int = 160, seed: int = 3) -> NDArray[np.uint8]:
    """A smooth coloured picture (height, width, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 20 + 2, width // 20 + 2, 3))
    rows, columns = np.arange(height) / 20, np.arange(width) / 20
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[:, None, None], (columns - x)[None, :, None]
    top = coarse[y][:, x] * (1 - fx) + coarse[y][:, x + 1] * fx
    bottom = coarse[y + 1][:, x] * (1 - fx) + coarse[y + 1][:, x + 1] * fx
    return np.ascontiguousarray((top * (1 - fy) + bottom * fy).round(), np.uint8)


def lpn_state_dict(
    depth: int, attention: str, joints: int = 17, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """A random state dict of LPN under its official names, written from the paper's table."""
    generator = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float32]] = {}

    def add(name: str, *shape: int) -> None:
        state[name] = generator.normal(0, 0.1, shape).astype(np.float32)

    def add_norm(name: str, width: int) -> None:
        add(f"{name}.weight", width)
        add(f"{name}.bias", width)
        add(f"{name}.running_mean", width)
        state[f"{name}.running_var"] = generator.uniform(0.5, 1.5, width).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    add("conv1.weight", 64, 3, 7, 7)
    add_norm("bn1", 64)
    before = 64
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    for stage, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            add(f"{name}.conv1.weight", width, before, 1, 1)
            add_norm(f"{name}.bn1", width)
            add(f"{name}.conv2.weight", width, 1, 3, 3)
            add_norm(f"{name}.bn2", width)
            add(f"{name}.conv3.weight", width, width, 1, 1)
            add_norm(f"{name}.bn3", width)
            hidden = max(width // 16, 16)
            if attention == "gc":
                add(f"{name}.att.conv_mask.weight", 1, width, 1, 1)
                add(f"{name}.att.conv_mask.bias", 1)
                add(f"{name}.att.channel_add_conv.0.weight", hidden, width, 1, 1)
                add(f"{name}.att.channel_add_conv.0.bias", hidden)
                add(f"{name}.att.channel_add_conv.1.weight", hidden, 1, 1)
                add(f"{name}.att.channel_add_conv.1.bias", hidden, 1, 1)
                add(f"{name}.att.channel_add_conv.3.weight", width, hidden, 1, 1)
                add(f"{name}.att.channel_add_conv.3.bias", width)
            elif attention == "se":
                add(f"{name}.att.fc.0.weight", hidden, width)
                add(f"{name}.att.fc.2.weight", width, hidden)
            if block == 0 and stage > 1:
                add(f"{name}.downsample.0.weight", width, before, 1, 1)
                add_norm(f"{name}.downsample.1", width)
            before = width
    for first, source in ((0, 512), (6, 256)):
        add(f"deconv_layers.{first}.weight", source, 256 // gcd(source, 256), 4, 4)
        add_norm(f"deconv_layers.{first + 1}", 256)
        add(f"deconv_layers.{first + 3}.weight", 256, 256, 1, 1)
        add_norm(f"deconv_layers.{first + 4}", 256)
    add("final_layer.weight", joints, 256, 1, 1)
    add("final_layer.bias", joints)
    return state
