"""From a state dict to the content of a model file, self-test included."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core import architectures, decode
from lpn_core import keypoints as keypoint_sets
from lpn_core.architectures.lpn import BLOCKS
from lpn_core.model import Model
from lpn_core.model_file import (
    DTYPES,
    DecodeSpec,
    InputSpec,
    ModelFile,
    Provenance,
    SelfTest,
    round_weights,
)
from lpn_core.model_spec import HEATMAP_STRIDE

# How far a joint may lie from its recorded place in crop pixels, on any machine, in fp32.
SELF_TEST_TOLERANCE = 0.05
_DEFAULT_BETA = 160.0

_logger = logging.getLogger(__name__)


def make_model_file(
    name: str,
    architecture: str,
    state_dict: Mapping[str, NDArray[Any]],
    *,
    channel_order: str,
    decode: DecodeSpec | None = None,
    input: InputSpec | None = None,  # noqa: A002
    keypoints: str = "coco17",
    provenance: Provenance | None = None,
    dtype: str = "float32",
) -> ModelFile:
    """Makes a model file's content from a trained network.

    Args:
        name: of the model.
        architecture: one of ``architectures.ARCHITECTURES``.
        state_dict: the network's arrays under its official key names.
        channel_order: in which it was trained. Of the official checkpoints LPN's take "bgr" on
            COCO and "rgb" on MPII, SimpleBaseline's "bgr", HRNet's "rgb". The wrong one costs
            several AP and nothing fails.
        decode: None for the published one (beta 160, quarter step, flip shift 1).
        input: None for 256 x 192 with ImageNet's mean and std; its channel order must agree.
        keypoints: the keypoint set of the output channels.
        provenance: None where nothing is known.
        dtype: "float32", or "bfloat16" to round the weights as ``model_file.write`` would.

    Raises:
        ValueError: another network's state dict (the message lists what differs and names the
            architecture that it seems to be), a bad option, a flip shift as wide as the heatmaps,
            or another number of joints than the keypoint set has.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; wanted one of {', '.join(DTYPES)}")
    spec = input or InputSpec(channel_order=channel_order)
    if spec.channel_order != channel_order:
        raise ValueError(
            f"channel_order is {channel_order!r}, but input says {spec.channel_order!r}"
        )
    joints = len(keypoint_sets.get(keypoints))
    try:
        graph, weights = architectures.build(architecture, state_dict)
    except ValueError as error:
        other = _architecture_of(state_dict)
        if other in (None, architecture):
            raise
        raise ValueError(f"{error}. Its blocks are those of {other}") from None
    crops = synthetic_crops(spec.height, spec.width)
    untested = ModelFile(
        name=name,
        graph=graph,
        input=spec,
        decode=decode or DecodeSpec(),
        keypoints=keypoints,
        provenance=provenance or Provenance(architecture=architecture),
        self_test=SelfTest(crops, np.zeros((2, joints, 2))),
        weights=round_weights(weights, dtype),
    )
    with Model(untested) as model:
        found = self_test_keypoints(model)
    return replace(untested, self_test=SelfTest(crops, found))


def _architecture_of(state_dict: Mapping[str, NDArray[Any]]) -> str | None:
    """The architecture that has as many blocks in every stage, if there is one."""
    found = {match[0] for key in state_dict if (match := re.search(r"layer([1-4])\.\d+\.", key))}
    counts = tuple(sum(block.startswith(f"layer{s}.") for block in found) for s in range(1, 5))
    depths = [depth for depth, blocks in BLOCKS.items() if blocks == counts]
    return f"lpn{depths[0]}" if depths else None


def self_test_keypoints(model: Model) -> NDArray[np.float64]:
    """Runs a model's self-test: (2, K, 2) float64, x and y in crop pixels."""
    heatmaps = model(model.file.self_test.crops)
    beta = model.decode.beta or _DEFAULT_BETA
    coordinates, _ = decode.soft_argmax(heatmaps, layout="nhwc", beta=beta)
    return coordinates.astype(np.float64) * HEATMAP_STRIDE


def self_test_error(model: Model) -> float:
    """The largest distance of a self-test joint from its recorded place, in crop pixels."""
    difference = self_test_keypoints(model) - model.file.self_test.keypoints
    error = float(np.sqrt((difference**2).sum(axis=2)).max())
    _logger.debug("self-test of %s: %g px", model.name, error)
    return error


def synthetic_crops(height: int, width: int) -> NDArray[np.uint8]:
    """Two drawn crops (2, height, width, 3) uint8: a stick figure and smooth colour waves."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / width, y / height
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((1.0, 2.0), (3.0, -1.0), (-2.0, 4.0))]
    second = 127.5 + 100 * np.stack(waves, axis=-1)
    first = np.stack([90 + 60 * y, 120 - 50 * y, 140 + 40 * x], axis=-1)
    limbs = (
        ((0.5, 0.3), (0.5, 0.55), 0.09, (180, 60, 50)),
        ((0.43, 0.32), (0.3, 0.5), 0.04, (200, 150, 120)),
        ((0.57, 0.32), (0.72, 0.46), 0.04, (200, 150, 120)),
        ((0.46, 0.57), (0.42, 0.85), 0.05, (40, 50, 110)),
        ((0.54, 0.57), (0.6, 0.84), 0.05, (40, 50, 110)),
        ((0.5, 0.18), (0.5, 0.2), 0.06, (210, 160, 130)),
    )
    for (x0, y0), (x1, y1), radius, colour in limbs:
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
        cover = np.clip((radius - distance) * width / 2 + 0.5, 0, 1)[..., None]
        first = first * (1 - cover) + np.array(colour) * cover
    crops: NDArray[np.uint8] = np.stack([first, second]).round().clip(0, 255).astype(np.uint8)
    return crops
