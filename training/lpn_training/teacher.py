"""The teacher: heatmaps for every view, and its word on doubtful labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lpn_core.model.spec import BETA
from torch import Tensor
from tqdm import tqdm

from lpn_training.checkpoint import write_whole
from lpn_training.config import LossConfig
from lpn_training.data.augment import normalise, plain_maps, sample_views
from lpn_training.data.crops import CropSet
from lpn_training.onnx_module import OnnxModule

logger = logging.getLogger(__name__)

# Input size of PP-TinyPose.
TEACHER_HEIGHT = 256
TEACHER_WIDTH = 192


def load_teacher(path: Path, device: torch.device) -> OnnxModule:
    """The teacher as a frozen PyTorch module; half precision on a GPU."""
    teacher = OnnxModule(path).eval().requires_grad_(False).to(device)
    if device.type == "cuda":
        teacher = teacher.half()
        teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return teacher


@torch.no_grad()
def run_teacher(teacher: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Heatmaps (N, K, h, w) float32 of normalised inputs."""
    dtype = torch.float16 if inputs.device.type == "cuda" else torch.float32
    prepared = inputs.to(dtype).contiguous(memory_format=torch.channels_last)
    heatmaps: Tensor = teacher(prepared).float()
    return heatmaps


def soft_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """beta-Soft-Argmax position (N, K, 2) x, y in heatmap pixels, and maximum (N, K)."""
    height, width = heatmaps.shape[2:]
    flat = heatmaps.flatten(2)
    top = flat.max(dim=2, keepdim=True).values
    weights = (BETA * (flat - top)).softmax(dim=2).reshape(heatmaps.shape)
    # No matrix products: a GPU may round what goes into them to ten bits.
    x = (weights.sum(dim=2) * torch.arange(width, device=flat.device)).sum(dim=-1)
    y = (weights.sum(dim=3) * torch.arange(height, device=flat.device)).sum(dim=-1)
    return torch.stack((x, y), dim=-1), top[..., 0]


@dataclass
class TeacherPredictions:
    """What the teacher sees in each plain crop.

    Attributes:
        keypoints: (N, 17, 2) float32 x, y in crop pixels.
        confidence: (N, 17) float32, the heatmap's maximum.
    """

    keypoints: Tensor
    confidence: Tensor


def without_predictions(crops: CropSet) -> Tensor:
    """Indices of the crops whose shards do not say what the teacher sees in them."""
    return crops.teacher_keypoints.isnan().any(dim=2).any(dim=1).nonzero()[:, 0]


@torch.no_grad()
def predict_crops(crops: CropSet, teacher: torch.nn.Module, batch_size: int) -> TeacherPredictions:
    """What the shards say of the teacher; it is run over the plain views of the other crops."""
    keypoints = crops.teacher_keypoints[..., :2].clone()
    confidence = crops.teacher_keypoints[..., 2].clone()
    waiting = without_predictions(crops)
    count = len(waiting)
    batch_size = min(batch_size, count)
    # Like every bar: on a terminal only, and once for all of torchrun's processes.
    hidden = True if os.environ.get("RANK", "0") != "0" else None
    for begin in tqdm(range(0, count, batch_size), "teacher", unit="batch", disable=hidden):
        # The last batch overlaps the one before: a compiled teacher wants one shape.
        start = max(0, min(begin, count - batch_size))
        part = waiting[start : start + batch_size]
        maps = plain_maps(crops.boxes[part], TEACHER_HEIGHT, TEACHER_WIDTH)
        views = sample_views(crops.images[part], maps, TEACHER_HEIGHT, TEACHER_WIDTH)
        heatmaps = run_teacher(teacher, normalise(views))
        places, confidence[part] = soft_peaks(heatmaps)
        keypoints[part] = maps.to_crop(places * (TEACHER_HEIGHT / heatmaps.shape[2]))
    return TeacherPredictions(keypoints, confidence)


def cached_predictions(
    crops: CropSet,
    teacher: Callable[[], torch.nn.Module],
    teacher_hash: str,
    batch_size: int,
    cache: Path | None,
) -> TeacherPredictions:
    """``predict_crops``, or what it said of the same crops from ``cache``; writes the cache.

    Args:
        crops: What it is asked about.
        teacher: Loads it, where it is to be asked.
        teacher_hash: SHA-256 of its file.
        batch_size: Of one question.
        cache: File of earlier answers, or None.
    """
    if len(without_predictions(crops)) == 0:
        return TeacherPredictions(crops.teacher_keypoints[..., :2], crops.teacher_keypoints[..., 2])
    identity = {"crops": crops.digest, "teacher": teacher_hash}
    if cache is not None and cache.exists():
        content = torch.load(cache, map_location=crops.device, weights_only=True)
        other = [name for name, value in identity.items() if content.get(name) != value]
        if not other:
            return TeacherPredictions(content["keypoints"], content["confidence"])
        logger.warning("%s is of another %s; the teacher is asked again", cache, other[0])
    predictions = predict_crops(crops, teacher(), batch_size)
    if cache is not None:
        content = {
            **identity,
            "keypoints": predictions.keypoints,
            "confidence": predictions.confidence,
        }
        write_whole(cache, content)
    return predictions


def filter_labels(crops: CropSet, predictions: TeacherPredictions, config: LossConfig) -> Tensor:
    """Clear noisy labels and choose the crops to keep.

    Changes ``crops.labelled``: a label of a noisy source goes where the teacher is sure and
    far away (wrong positions and swapped sides alike).

    Returns:
        (N,) bool: False for crops without labels in which the teacher sees no person.
    """
    noisy = torch.tensor(
        [name in config.noisy_sources for name in crops.source_names],
        device=crops.device,
    )
    distance = (predictions.keypoints - crops.keypoints).norm(dim=-1)
    limit = config.noisy_distance * crops.sizes[:, 1:].float()
    wrong = (predictions.confidence > config.noisy_confidence) & (distance > limit)
    wrong &= noisy[crops.sources][:, None] & crops.labelled
    crops.labelled &= ~wrong
    keep = predictions.confidence.mean(dim=1) >= config.minimum_confidence
    keep |= crops.labelled.any(dim=1)
    logger.info("dropped %d noisy labels and %d crops", int(wrong.sum()), int((~keep).sum()))
    return keep
