"""COCO keypoint AP of a network, cropped and decoded by ``lpn_core`` as its users get it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lpn_core import preprocess
from lpn_core.decode import decode
from lpn_core.flip import average_flipped, mirror_crops
from lpn_core.keypoints import COCO17
from lpn_core.model_spec import DecodeSpec, InputSpec
from torch import nn
from tqdm import tqdm

from lpn_training.checkpoint import averaged_weights, load_checkpoint
from lpn_training.config import config_from_dict
from lpn_training.data.coco import CocoPersons
from lpn_training.metrics import average_precision, coco_results
from lpn_training.teacher import OnnxRuntimeTeacher
from lpn_training.train import build_model

logger = logging.getLogger(__name__)

Heatmaps = npt.NDArray[np.float32]
# Normalised crops (N, H, W, 3) in the network's channel order to heatmaps (N, H / 4, W / 4, K).
Network = Callable[[Heatmaps], Heatmaps]

DECODES: dict[str, DecodeSpec] = {
    "argmax": DecodeSpec(kind="argmax", beta=None, quarter_step=False),
    "argmax-quarter": DecodeSpec(kind="argmax", beta=None, quarter_step=True),
    "beta": DecodeSpec(quarter_step=False),
    "beta-quarter": DecodeSpec(),
}
BATCH = 32


def torch_network(model: nn.Module, device: torch.device) -> Network:
    """Wrap a PyTorch model in evaluation mode."""
    model = model.eval().to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(crops: Heatmaps) -> Heatmaps:
        inputs = torch.from_numpy(crops).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            heatmaps = model(inputs).permute(0, 2, 3, 1)
        return np.ascontiguousarray(heatmaps.cpu().numpy())

    return run


def onnx_network(path: Path) -> Network:
    """Wrap the teacher's ONNX file."""
    teacher = OnnxRuntimeTeacher(path)

    def run(crops: Heatmaps) -> Heatmaps:
        heatmaps = teacher(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
        return np.ascontiguousarray(heatmaps.transpose(0, 2, 3, 1))

    return run


def checkpoint_network(path: Path, device: torch.device) -> tuple[Network, InputSpec]:
    """The averaged network of a checkpoint, and how its input is made (RGB, its own size)."""
    content = load_checkpoint(path)
    config = config_from_dict(content["config"])
    model = build_model(config)
    model.load_state_dict(averaged_weights(content))
    spec = InputSpec(channel_order="rgb", height=config.model.height, width=config.model.width)
    return torch_network(model, device), spec


def evaluate(
    persons: CocoPersons,
    network: Network,
    spec: InputSpec,
    *,
    flip: bool = False,
    nms: bool = False,
    decodes: Mapping[str, DecodeSpec] = DECODES,
) -> dict[str, dict[str, float]]:
    """AP with ground-truth boxes, for several decodes of the same heatmaps.

    Args:
        persons: Whom to find.
        network: Normalised crops to heatmaps.
        spec: How crops are made.
        flip: Average with the mirrored crop's heatmaps (the flip shift is each decode's own).
        nms: OKS-NMS at 0.9, as the official code does with detections. Ground-truth boxes have
            no duplicates: here it only takes away one of two people who stand close.
        decodes: Name to decode.

    Returns:
        For each decode, pycocotools' ten numbers by name.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in decodes}
    for image in tqdm(persons, desc="evaluate", unit="image", total=len(persons)):
        where = preprocess.regions(image.boxes, spec)
        if len(where) == 0:
            continue
        crops = preprocess.crop(image.pixels, "rgb", where, spec)
        plain = _in_batches(network, crops)
        mirrored = _in_batches(network, mirror_crops(crops)) if flip else None
        areas = where.sizes.prod(axis=1) if nms else None
        for name, how in decodes.items():
            heatmaps = plain
            if mirrored is not None:
                heatmaps = average_flipped(plain, mirrored, COCO17, shift=how.flip_shift)
            places, scores = decode(heatmaps, how, layout="nhwc")
            height, width = heatmaps.shape[1:3]
            keypoints = where.to_image(places, height, width)
            raw = scores.astype(np.float64)
            box_scores = np.ones(len(where))
            results[name] += coco_results(image.image_id, keypoints, raw, box_scores, areas)
    return {
        name: average_precision(persons.content, found, persons.image_ids)
        for name, found in results.items()
    }


def _in_batches(network: Network, crops: Heatmaps) -> Heatmaps:
    parts = [network(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    return np.concatenate(parts)
