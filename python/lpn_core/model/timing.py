"""How long calls take, on a machine that also does other things."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpn_core import _core

if TYPE_CHECKING:
    from lpn_core._types import Precision

# Threads that slept may wake on one CPU; the scheduler takes some milliseconds to part them, and
# caches and clocks need as long. So each block of runs starts with unmeasured ones.
WARM_UP_S = 0.05
# Threads that are never idle may also stay on one CPU for good: between blocks they get to sleep,
# and each block is a throw of its own.
BLOCK = 10
_PAUSE_S = 0.002
_PEAK_S = 0.1
# Of the factors.
_DTYPES: Mapping[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes:
        median_s: of all rounds.
        minimum_s: of all rounds.
        spread_s: the interquartile range: how far apart the middle half of the rounds lies.
        rounds: how many there were.
    """

    median_s: float
    minimum_s: float
    spread_s: float
    rounds: int


def summarise(seconds: NDArray[np.float64]) -> Timing:
    """The figures of (rounds,) seconds."""
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return Timing(float(median), float(seconds.min()), float(high - low), len(seconds))


def blocks(rounds: int) -> list[int]:
    """The rounds in blocks of at most ``BLOCK``, as even as may be."""
    count = -(-rounds // BLOCK)
    return [rounds * (i + 1) // count - rounds * i // count for i in range(count)]


def warm_up(run: Callable[[], object], seconds: float = WARM_UP_S) -> None:
    """Lets the threads sleep, then runs until they are awake and the caches are full."""
    time.sleep(_PAUSE_S)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        run()


def time_runs(run: Callable[[], object], rounds: int) -> NDArray[np.float64]:
    """(rounds,) seconds of calls that follow each other at once."""
    marks = np.empty(rounds + 1)
    marks[0] = time.perf_counter()
    for i in range(rounds):
        run()
        marks[i + 1] = time.perf_counter()
    return np.diff(marks)


def measure(run: Callable[[], object], rounds: int) -> Timing:
    """Times ``rounds`` calls, in blocks that each start warm."""
    seconds = []
    for block in blocks(rounds):
        warm_up(run)
        seconds.append(time_runs(run, block))
    return summarise(np.concatenate(seconds))


def peak_gflops(isa: str, threads: int, precision: Precision = "fp32") -> float:
    """The multiply-adds that so many threads do on a tier, in 10^9 operations a second."""
    return _core.peak_gflops(isa, threads, _PEAK_S, _DTYPES[precision])
