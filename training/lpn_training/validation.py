"""A quick look at a network while it trains: mean OKS on held-out crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpn_training.batches import STRIDE
from lpn_training.config import ModelConfig
from lpn_training.data.augment import normalise, plain_maps, sample_views
from lpn_training.data.crops import CropSet
from lpn_training.data.keypoints import COCO_SIGMAS
from lpn_training.teacher import soft_peaks

BATCH = 64


def mean_oks(predicted: Tensor, keypoints: Tensor, labelled: Tensor, boxes: Tensor) -> Tensor:
    """Mean object keypoint similarity over labelled persons, all in the same pixels.

    The area is 0.53 x the box's, COCO's typical ratio: a monitor, not the published metric.
    """
    area = 0.53 * boxes[:, 2] * boxes[:, 3]
    variance = (2 * torch.tensor(COCO_SIGMAS, device=boxes.device)).square()
    squared = (predicted - keypoints).square().sum(dim=-1)
    similarity = torch.exp(-squared / (2 * area[:, None] * variance))
    count = labelled.sum(dim=1)
    per_person = (similarity * labelled).sum(dim=1) / count.clamp(min=1)
    return per_person[count > 0].mean()


@torch.no_grad()
def validation_oks(network: nn.Module, crops: CropSet, model: ModelConfig) -> float:
    """Mean OKS of a network in evaluation mode, beta-Soft-Argmax decode."""
    places = []
    for start in range(0, len(crops), BATCH):
        part = slice(start, start + BATCH)
        maps = plain_maps(crops.boxes[part], model.height, model.width)
        views = sample_views(crops.images[part], maps, model.height, model.width)
        inputs = normalise(views).contiguous(memory_format=torch.channels_last)
        place, _ = soft_peaks(network(inputs))
        linear, offset = maps.matrix[:, :, :2], maps.matrix[:, None, :, 2]
        places.append((place * STRIDE) @ linear.transpose(1, 2) + offset)
    return float(mean_oks(torch.cat(places), crops.keypoints, crops.labelled, crops.boxes))
