"""The machine's float32 limit, measured in the same run as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from lpn_core import _core

SECONDS = 0.1

Peaks = Sequence[Mapping[str, float]]


class Peak:
    """A task whose answer is, by tier, GFLOP/s of fused multiply-adds in registers."""

    def __init__(self, isas: Sequence[str], threads: int) -> None:
        self._isas, self._threads = isas, threads

    def run(self) -> None:
        self.answer()

    def answer(self) -> dict[str, float]:
        return {isa: _core.peak_gflops(isa, self._threads, SECONDS) for isa in self._isas}


def median_peak(peaks: Peaks, isa: str) -> float:
    """Operations a second: the median of the rounds."""
    return float(np.median([peak[isa] for peak in peaks])) * 1e9


def best_peak(peaks: Peaks, isa: str) -> float:
    """Operations a second: the best of the rounds."""
    return max(peak[isa] for peak in peaks) * 1e9
