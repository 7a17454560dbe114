"""What a quantized network loses and gains: AP where there are labels, drift, and time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.evaluation import LEVEL, CocoPeople, ImagePeople, find_poses
from lpn_core.evaluation.predict import Progress
from lpn_core.model import timing
from lpn_core.model.model import Model

RESAMPLES = 1000


@dataclass(frozen=True)
class Accuracy:
    """AP of both precisions on the same people.

    Attributes:
        images: how many were judged.
        people: in these.
        reference: AP in float32.
        quantized: AP in int8.
        low: lower end of the 95% interval of ``quantized - reference``, by a paired bootstrap over
            the images.
        high: its upper end.
    """

    images: int
    people: int
    reference: float
    quantized: float
    low: float
    high: float

    @property
    def drop(self) -> float:
        """What int8 loses."""
        return self.reference - self.quantized

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "drop": self.drop}


def judge(
    people: CocoPeople,
    images: Sequence[ImagePeople],
    reference: Model,
    quantized: Model,
    *,
    progress: Progress | None = None,
) -> Accuracy:
    """AP of two models on some of the images of labelled people.

    Args:
        people: of the annotations.
        images: of ``people.images``, those to judge by.
        reference: in float32.
        quantized: in int8.
        progress: called for each model with the images, returns what goes through them.
    """
    chosen = copy(people)
    chosen.images = tuple(images)
    poses = [
        find_poses(
            chosen.images,
            model,
            model.input,
            chosen.keypoint_set,
            decodes={"model": model.decode},
            threads=model.threads,
            progress=progress,
        )["model"]
        for model in (reference, quantized)
    ]
    values = [chosen.metrics(found, reference.input)["AP"] for found in poses]
    count = len(chosen.images)
    counts = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    drawn = [chosen.resampled(found, reference.input, counts)["AP"] for found in poses]
    valid = (drawn[0] >= 0) & (drawn[1] >= 0)
    differences = (drawn[1] - drawn[0])[valid]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, (tail, 1 - tail)) if valid.any() else (-1.0, 1.0)
    return Accuracy(
        images=count,
        people=sum(len(image.boxes) for image in chosen.images),
        reference=values[0],
        quantized=values[1],
        low=float(low),
        high=float(high),
    )


@dataclass(frozen=True)
class Speed:
    """Median seconds of one crop, of runs that took turns."""

    reference_s: float
    quantized_s: float

    @property
    def ratio(self) -> float:
        """How many times as fast int8 is."""
        return self.reference_s / self.quantized_s


def measure(reference: Model, quantized: Model, crop: NDArray[np.uint8], rounds: int) -> Speed:
    """Times both, in turns, on one crop (1, H, W, 3)."""
    seconds: list[list[NDArray[np.float64]]] = [[], []]
    for block in timing.blocks(rounds):
        for model, taken in zip((reference, quantized), seconds, strict=True):
            run = partial(model, crop)
            timing.warm_up(run)
            taken.append(timing.time_runs(run, block))
    first, second = (float(np.median(np.concatenate(taken))) for taken in seconds)
    return Speed(first, second)
