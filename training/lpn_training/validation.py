"""How good a network is on held-out crops: AP and mean OKS, with PyTorch alone.

Each crop is an image of its own with one person to find, so a pose never meets another person's.
COCO's AP over whole images comes from ``lpn-train eval``; this one follows it closely, costs a
second on a GPU, and its terms belong to one person each, which is what a bootstrap over persons
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lpn_core.keypoints import OTHER_SIGMA
from lpn_core.model.spec import SCORE_THRESHOLD
from torch import Tensor, nn

from lpn_training.batches import STRIDE, BatchSource, check_joints
from lpn_training.config import ModelConfig
from lpn_training.data.augment import normalise, plain_maps, sample_views
from lpn_training.data.crops import CropSet, load_crops
from lpn_training.data.keypoints import COCO17, COCO_SIGMAS
from lpn_training.data.shards import find_shards
from lpn_training.teacher import soft_peaks

BATCH = 64
# So many people that were trained on are validated, too.
TRAINED = 256
OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PersonScores:
    """One network's poses of N persons, all with labels.

    Attributes:
        oks: (N,) float64 similarity to the truth.
        scores: (N,) float64, the mean of the raw joint scores above 0.2.
    """

    oks: Array
    scores: Array

    @property
    def ap(self) -> float:
        """Average precision in [0, 1]."""
        return average_precision(self.oks, self.scores)


def average_precision(oks: Array, scores: Array, counts: Array | None = None) -> float:
    """COCO's keypoint AP of N persons with one pose each: 10 thresholds, 101 recalls.

    Args:
        oks: (N,).
        scores: (N,); equal ones rank in the order given, as in pycocotools.
        counts: (N,) how often each person counts; None for once. For the bootstrap.
    """
    order = np.argsort(-scores, kind="stable")
    weight = np.ones(len(oks)) if counts is None else counts[order]
    found = np.cumsum(weight)
    right = np.cumsum((oks[order] >= OKS_THRESHOLDS[:, None]) * weight, axis=1)
    precision = right / (found + np.spacing(1))
    # Precision at a recall is the best at that recall or beyond.
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / found[-1]
    total = 0.0
    for row, line in zip(recall, best, strict=True):
        at = np.searchsorted(row, RECALLS, side="left")
        total += float(line[at[at < len(line)]].sum())
    return total / (len(OKS_THRESHOLDS) * len(RECALLS))


def keypoint_similarity(
    predicted: Tensor, keypoints: Tensor, labelled: Tensor, areas: Tensor, sigmas: Tensor
) -> Tensor:
    """OKS (N,) over each person's labelled joints, all in the same pixels."""
    squared = (predicted - keypoints).square().sum(dim=-1)
    similarity = torch.exp(-squared / (2 * areas[:, None] * (2 * sigmas).square()))
    count = labelled.sum(dim=1)
    return (similarity * labelled).sum(dim=1) / count.clamp(min=1)


def flip_average(
    network: Callable[[Tensor], Tensor], inputs: Tensor, mirror: tuple[int, ...]
) -> Tensor:
    """Heatmaps averaged with those of the mirrored input, shifted by one pixel."""
    back = network(inputs.flip(3))[:, list(mirror)].flip(3)
    shifted = torch.cat((back[..., :1], back[..., :-1]), dim=3)
    mean: Tensor = (network(inputs) + shifted) / 2
    return mean


def check_validation(crops: CropSet, model: ModelConfig) -> None:
    """Hold validation crops to what a model can be scored on.

    Raises:
        ValueError: No crop has a label, or the crops have other joints than the model.
    """
    check_joints("the validation shards", crops.joints, model)
    if not bool(crops.labelled.any()):
        raise ValueError(f"none of {len(crops)} validation crops has a labelled joint")


def validation_crops(batches: BatchSource) -> dict[str, CropSet]:
    """What a run is validated on, by the prefix of its columns in the log.

    Weights are chosen by "": the people that training holds out, or else the validation shards.
    Where there are both, the shards' numbers are "reported_" beside them. "trained_" are as many
    people that training draws, at most ``TRAINED``: better on these alone is memory.

    Raises:
        ValueError: Nobody has a label, or the shards have other joints than the model.
    """
    config, found = batches.config, []
    if config.data.held_out:
        found.append(batches.held_out_crops())
    if config.data.validation_shards:
        shards = find_shards(config.data.validation_shards)
        crops = load_crops(shards, workers=config.data.workers).to(batches.crops.device)
        check_validation(crops, config.model)
        found.append(crops)
    named = dict(zip(("", "reported_"), found, strict=False))
    trained = batches.trained_crops(min(TRAINED, len(found[0]))) if found else None
    return named if trained is None else {**named, "trained_": trained}


def beside_ap(scores: Mapping[str, Any]) -> dict[str, float]:
    """The AP on other people than those by whom weights were chosen, of a record or log entry."""
    return {key: scores[key] for key in ("reported_ap", "trained_ap") if key in scores}


@torch.no_grad()
def predict_persons(
    network: Callable[[Tensor], Tensor],
    crops: CropSet,
    size: tuple[int, int],
    *,
    flip: bool = False,
    progress: Callable[[range], Iterable[int]] = iter,
) -> tuple[Tensor, Tensor]:
    """Joints by the beta-Soft-Argmax decode.

    Args:
        network: Normalised views (n, 3, H, W) to heatmaps (n, K, H / 4, W / 4).
        crops: Of N persons.
        size: H and W.
        flip: Average with the mirrored view.
        progress: Goes over the first person of each batch.

    Returns:
        (N, K, 2) float32 x, y in crop pixels, and (N, K) the heatmaps' maxima.
    """
    places, tops = [], []
    for start in progress(range(0, len(crops), BATCH)):
        part = slice(start, start + BATCH)
        maps = plain_maps(crops.boxes[part], *size)
        views = sample_views(crops.images[part], maps, *size)
        inputs = normalise(views).contiguous(memory_format=torch.channels_last)
        heatmaps = flip_average(network, inputs, crops.joints.mirror) if flip else network(inputs)
        place, top = soft_peaks(heatmaps.float())
        places.append(maps.to_crop(place * STRIDE))
        tops.append(top)
    return torch.cat(places), torch.cat(tops)


def person_scores(crops: CropSet, places: Tensor, tops: Tensor) -> PersonScores:
    """Scores of those persons that have labels, of joints as ``predict_persons`` gives them."""
    count = len(crops.joints.mirror)
    constants = COCO_SIGMAS if crops.joints == COCO17 else (OTHER_SIGMA,) * count
    sigmas = torch.tensor(constants, device=crops.boxes.device)
    oks = keypoint_similarity(places, crops.keypoints, crops.labelled, crops.areas, sigmas)
    above = tops > SCORE_THRESHOLD
    scores = (tops * above).sum(dim=1) / above.sum(dim=1).clamp(min=1)
    has_labels = crops.labelled.any(dim=1)

    def numbers(values: Tensor) -> Array:
        # A network that has diverged finds nobody.
        return values[has_labels].nan_to_num(0.0).double().cpu().numpy()

    return PersonScores(numbers(oks), numbers(scores))


def score_persons(
    network: nn.Module, crops: CropSet, model: ModelConfig, *, flip: bool = False
) -> PersonScores:
    """Run a network in evaluation mode over crops.

    Raises:
        ValueError: No crop has a label, or the crops have other joints than the model.
    """
    check_validation(crops, model)
    found = predict_persons(network, crops, (model.height, model.width), flip=flip)
    return person_scores(crops, *found)
