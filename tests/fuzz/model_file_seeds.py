"""Small model files, all kinds of nodes among them, as bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lpn_core import model_file
from lpn_core.convert import synthetic_crops
from lpn_core.keypoints import KEYPOINT_SETS
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model_file import (
    DecodeSpec,
    InputSpec,
    MapScale,
    ModelFile,
    Provenance,
    Quantization,
    SelfTest,
)
from numpy.typing import NDArray

SIDE = 8
CHANNELS = 2

Arrays = dict[str, NDArray[np.float32]]


def seeds() -> list[bytes]:
    """One file per keypoint set, and two with scales.

    The first has one node, the second all kinds, in bfloat16.
    """
    whole = {"stride": 4, "padding": 0, "groups": 1, "activation": "none"}
    one = (_conv("head", "image", whole),)
    return [
        _file("coco17", one, {"head.weight": (17, 3, 4, 4), "head.bias": (17,)}),
        _file("mpii16", *_all_kinds(16), dtype="bfloat16"),
        _file(
            "crowdpose14",
            one,
            {"head.weight": (14, 3, 4, 4), "head.bias": (14,)},
            decode=DecodeSpec(kind="argmax", beta=None, quarter_step=False, flip_shift=0),
            provenance=Provenance(
                architecture="lpn50",
                training_data="ü",
                ap=0.5,
                source_sha256="0" * 64,
                notes="notes",
            ),
        ),
        _quantized("float32"),
        _quantized("int8"),
    ]


def _quantized(dtype: str) -> bytes:
    whole = {"stride": 4, "padding": 0, "groups": 1, "activation": "relu"}
    last = {**whole, "stride": 1, "activation": "none"}
    names = ("weight", "bias", "weight_scale")
    up = {"stride": 1, "padding": 1, "groups": 2, "activation": "relu"}
    nodes = (
        NodeSpec("conv2d", "stem", ("image",), whole, names),
        NodeSpec("conv_transpose2d", "up", ("stem",), up, names),
        NodeSpec("conv2d", "head", ("up",), last, names),
    )
    shapes: dict[str, tuple[int, ...]] = {
        "stem.weight": (CHANNELS, 3, 4, 4),
        "stem.bias": (CHANNELS,),
        "up.weight": (CHANNELS, 1, 3, 3),
        "up.bias": (CHANNELS,),
        "head.weight": (14, CHANNELS, 1, 1),
        "head.bias": (14,),
    }
    scales = {
        "stem.weight_scale": np.full(CHANNELS, 0.01, np.float32),
        "up.weight_scale": np.full(CHANNELS, 0.01, np.float32),
        "head.weight_scale": np.full(14, 0.02, np.float32),
    }
    quantization = Quantization(
        tensors={"stem": MapScale(0.125, 0), "up": MapScale(0.125, 0)}, images=32
    )
    return _file("crowdpose14", nodes, shapes, dtype=dtype, more=scales, quantization=quantization)


def _conv(name: str, source: str, attributes: dict[str, Any], kind: str = "conv2d") -> NodeSpec:
    return NodeSpec(kind, name, (source,), attributes, ("weight", "bias"))


def _all_kinds(joints: int) -> tuple[tuple[NodeSpec, ...], dict[str, tuple[int, ...]]]:
    c, h = CHANNELS, 1
    stem = {"stride": 4, "padding": 1, "groups": 1, "activation": "relu6"}
    nodes = (
        _conv("stem", "image", stem),
        _conv("depthwise", "stem", {**stem, "stride": 1, "groups": c}),
        NodeSpec("max_pool2d", "pool", ("depthwise",), {"kernel": 3, "stride": 2, "padding": 1}),
        _conv("up", "pool", {**stem, "stride": 2, "activation": "none"}, "conv_transpose2d"),
        NodeSpec("add", "add", ("stem", "up"), {"activation": "relu"}),
        NodeSpec(
            "gc_block",
            "gc",
            ("add",),
            {"epsilon": 1e-5},
            (
                "mask_weight",
                "mask_bias",
                "w1",
                "b1",
                "norm_weight",
                "norm_bias",
                "w2",
                "b2",
            ),
        ),
        NodeSpec("se_block", "se", ("gc",), {}, ("w1", "w2")),
        _conv("head", "se", {**stem, "stride": 1, "padding": 0, "activation": "none"}),
    )
    shapes: dict[str, tuple[int, ...]] = {
        "stem.weight": (c, 3, 4, 4),
        "stem.bias": (c,),
        "depthwise.weight": (c, 1, 3, 3),
        "depthwise.bias": (c,),
        "up.weight": (c, c, 4, 4),
        "up.bias": (c,),
        "gc.mask_weight": (c,),
        "gc.mask_bias": (1,),
        "gc.w1": (h, c),
        "gc.b1": (h,),
        "gc.norm_weight": (h,),
        "gc.norm_bias": (h,),
        "gc.w2": (c, h),
        "gc.b2": (c,),
        "se.w1": (h, c),
        "se.w2": (c, h),
        "head.weight": (joints, c, 1, 1),
        "head.bias": (joints,),
    }
    return nodes, shapes


def _file(
    keypoint_set: str,
    nodes: tuple[NodeSpec, ...],
    shapes: dict[str, tuple[int, ...]],
    *,
    dtype: str = "float32",
    more: Arrays | None = None,
    **changes: Any,
) -> bytes:
    generator = np.random.default_rng(len(shapes))
    weights: Arrays = {
        name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()
    }
    joints = len(KEYPOINT_SETS[keypoint_set])
    values: dict[str, Any] = {
        "name": "seed",
        "graph": GraphSpec("image", 3, nodes, (nodes[-1].name,)),
        "input": InputSpec(channel_order="rgb", height=SIDE, width=SIDE),
        "decode": DecodeSpec(),
        "keypoints": keypoint_set,
        "provenance": Provenance(),
        "weights": weights | (more or {}),
    }
    values.update(changes)
    self_test = SelfTest(synthetic_crops(SIDE, SIDE), np.ones((2, joints, 2)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.safetensors"
        model_file.write(path, ModelFile(**values, self_test=self_test), dtype)
        return path.read_bytes()
