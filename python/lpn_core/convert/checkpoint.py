"""From a state dict to the content of a model file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lpn_core import keypoints as keypoint_sets
from lpn_core.convert import architectures
from lpn_core.convert.architectures.lpn import BLOCKS
from lpn_core.convert.self_test import self_test_keypoints, synthetic_crops
from lpn_core.keypoints import KeypointSet
from lpn_core.model.file import DTYPES, round_weights
from lpn_core.model.keypoint_sets import dump_keypoints
from lpn_core.model.model import Model
from lpn_core.model.spec import DecodeSpec, InputSpec, ModelFile, Provenance, SelfTest

if TYPE_CHECKING:
    from lpn_core._types import ChannelOrder


def make_model_file(
    name: str,
    architecture: str,
    state_dict: Mapping[str, NDArray[Any]],
    *,
    channel_order: ChannelOrder,
    decode: DecodeSpec | None = None,
    input: InputSpec | None = None,  # noqa: A002
    keypoint_set: str | KeypointSet = "coco17",
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
        keypoint_set: the joints of the output channels, by its name or as it is.
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
    joints = keypoint_sets.get(keypoint_set) if isinstance(keypoint_set, str) else keypoint_set
    is_known = isinstance(dump_keypoints(joints), str)
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
        keypoints=joints.name,
        provenance=provenance or Provenance(architecture=architecture),
        self_test=SelfTest(crops, np.zeros((2, len(joints), 2))),
        weights=round_weights(weights, dtype),
        own_keypoint_set=None if is_known else joints,
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
