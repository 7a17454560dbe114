"""Which crops make the batch of a step: a function of the seed and the step, nothing else."""

from __future__ import annotations

import enum

import numpy as np
import torch
from torch import Tensor


class Stream(enum.IntEnum):
    """Kinds of random numbers, so that no two share a seed."""

    VIEWS = 0
    STEP = 1
    PASS = 2
    PART = 3


def seed_of(seed: int, stream: Stream, *numbers: int) -> int:
    """One 64-bit seed from a run's seed and numbers >= 0 such as a step.

    Mixed, as PyTorch's CPU generator only takes the lower 32 bits of a seed.
    """
    entropy = (seed, int(stream), *numbers)
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


class Sampler:
    """Chooses crops, with the same answer for a step however often and wherever it is asked.

    Equal chances give the paper's passes: each pass over the crops is a fresh permutation, and a
    batch may end one pass and begin the next. Unequal chances are drawn with replacement.

    Args:
        chances: (N,) float32, relative; 0 for a crop that is never to be drawn.
        seed: Of the run.

    Raises:
        ValueError: No crop has a chance.
    """

    def __init__(self, chances: Tensor, seed: int) -> None:
        self.chances = chances
        self.seed = seed
        self.candidates = chances.nonzero()[:, 0]
        if len(self.candidates) == 0:
            raise ValueError(
                f"none of {len(chances)} crops can be drawn: they have neither labels nor a "
                "confident teacher, or data.source_weights are all 0"
            )
        wanted = chances[self.candidates]
        self._equal = bool((wanted == wanted[0]).all())
        self._generator = torch.Generator(chances.device)
        self._orders: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Crops in one pass."""
        return len(self.candidates)

    def choose(self, step: int, batch_size: int) -> Tensor:
        """Indices (batch_size,) int64 into the crops."""
        if not self._equal:
            self._generator.manual_seed(seed_of(self.seed, Stream.STEP, step))
            return torch.multinomial(
                self.chances, batch_size, replacement=True, generator=self._generator
            )
        start = step * batch_size
        first, last = start // len(self), (start + batch_size - 1) // len(self)
        self._orders = {
            number: self._orders[number] if number in self._orders else self._order(number)
            for number in range(first, last + 1)
        }
        passes = torch.cat(list(self._orders.values()))
        begin = start - first * len(self)
        return passes[begin : begin + batch_size]

    def _order(self, number: int) -> Tensor:
        self._generator.manual_seed(seed_of(self.seed, Stream.PASS, number))
        order = torch.randperm(len(self), generator=self._generator, device=self.candidates.device)
        return self.candidates[order]
