"""The machine's limit, measured in the same run as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from lpn_core.model import timing

Peaks = Sequence[Mapping[str, float]]


class Peak:
    """A task whose answer is, by tier, GFLOP/s of multiply-adds in registers.

    A tier alone ("avx512") means float32, one with a precision ("avx512bf16 bf16") that.
    """

    def __init__(self, isas: Sequence[str], threads: int) -> None:
        self._isas, self._threads = isas, threads

    def run(self) -> None:
        self.answer()

    def answer(self) -> dict[str, float]:
        return {name: self._measure(*name.split()) for name in self._isas}

    def _measure(self, isa: str, precision: str = "fp32") -> float:
        return timing.peak_gflops(isa, self._threads, precision)


def median_peak(peaks: Peaks, isa: str) -> float:
    """Operations a second: the median of the rounds."""
    return float(np.median([peak[isa] for peak in peaks])) * 1e9


def best_peak(peaks: Peaks, isa: str) -> float:
    """Operations a second: the best of the rounds."""
    return max(peak[isa] for peak in peaks) * 1e9
