"""How far a data set's metric is certain: the same with its images drawn again, with replacement.

Images are drawn rather than people: those of one picture have light, pose and errors in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lpn_core.model.spec import InputSpec
from lpn_core.poses import Poses

LEVEL = 0.95

Interval = tuple[float, float]


class Resampled(Protocol):
    """A data set whose metric can be had of any multiple of its images."""

    def __len__(self) -> int:
        """How many images it has."""

    def resampled(
        self,
        poses: Sequence[Poses],
        spec: InputSpec,
        counts: NDArray[np.int64],
        *,
        nms: bool | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Named numbers (B,) with each image taken ``counts`` (B, images) times."""


def intervals(
    people: Resampled,
    poses: Sequence[Poses],
    spec: InputSpec,
    *,
    resamples: int,
    seed: int = 0,
    nms: bool | None = None,
) -> dict[str, Interval]:
    """The 95% interval of each number of a data set's metric, by the percentiles of a bootstrap.

    Args:
        people: a ``CocoPeople`` or ``MpiiPeople``.
        poses: one entry per image.
        spec: how the crops were made.
        resamples: how often as many images as there are get drawn.
        seed: of the draws.
        nms: as for ``people.metrics``.

    Returns:
        Lower and upper end by name; of a number that draws lack (-1, such as the AP of large people
        where none was drawn) those of the others, and (-1, -1) where all lack it.

    Raises:
        ValueError: no resamples.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; wanted at least 1")
    images = len(people)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    tail = (1 - LEVEL) / 2
    found: dict[str, Interval] = {}
    for name, values in people.resampled(poses, spec, counts, nms=nms).items():
        there = values[values >= 0]
        low, high = np.quantile(there, (tail, 1 - tail)) if len(there) else (-1.0, -1.0)
        found[name] = (float(low), float(high))
    return found
