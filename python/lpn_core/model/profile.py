"""Where a model's time goes, step by step, and how near that is to the machine's limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lpn_core import _core
from lpn_core._text import align
from lpn_core.model import timing

if TYPE_CHECKING:
    from lpn_core._types import PlanStep, Precision

SORTS = ("order", "time")
GROUPS = ("step", "kernel")
_HEADINGS = (
    "kernel", "isa", "chunks", "median us", "min us", "time", "GFLOP/s", "of peak", "MB", "GB/s",
)  # fmt: skip


@dataclass(frozen=True)
class StepProfile:
    """One step of a plan, or all steps of one kernel together; of one image.

    Attributes:
        name: of the graph's node.
        kernel: the function that does the work.
        isa: its tier.
        precision: of its multiply-adds.
        chunks: pieces that threads may take.
        flops: floating-point operations.
        bytes: the least memory traffic: inputs, weights and outputs once each.
        median_s: seconds, median of the rounds.
        minimum_s: seconds, least of the rounds.
        peak_gflops: what the threads do at most on this tier in this precision, measured in the
            same run.
    """

    name: str
    kernel: str
    isa: str
    precision: Precision
    chunks: int
    flops: float
    bytes: float
    median_s: float
    minimum_s: float
    peak_gflops: float

    @property
    def gflops(self) -> float:
        """10^9 operations a second, at the median."""
        return _rate(self.flops, self.median_s)

    @property
    def share_of_peak(self) -> float:
        """Speed as a part of the peak, 1 being all of it."""
        return self.gflops / self.peak_gflops

    @property
    def gbytes_per_s(self) -> float:
        """10^9 bytes a second of the least memory traffic, at the median."""
        return _rate(self.bytes, self.median_s)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "name": self.name,
            "kernel": self.kernel,
            "isa": self.isa,
            "precision": self.precision,
            "chunks": self.chunks,
            "flops": self.flops,
            "bytes": self.bytes,
            "median_s": self.median_s,
            "minimum_s": self.minimum_s,
            "gflops": self.gflops,
            "share_of_peak": self.share_of_peak,
            "gbytes_per_s": self.gbytes_per_s,
        }


@dataclass(frozen=True)
class Profile:
    """A model's time on one image; :meth:`lpn_core.Model.profile` makes it.

    Attributes:
        model: its name.
        height: of the image.
        width: of the image.
        isa: the model's tier; a step may use a lower one.
        precision: the model's; a step may multiply in fp32.
        threads: that worked together.
        peaks: of so many threads in 10^9 operations a second: of fp32 by tier ("avx512"), of
            another precision by tier and precision ("avx512bf16 bf16").
        steps: in order of execution.
        run: of whole runs that were not recorded, interleaved with those that were.
        marks: (rounds, steps + 1) seconds: when each step began and the last one ended.
    """

    model: str
    height: int
    width: int
    isa: str
    precision: Precision
    threads: int
    peaks: Mapping[str, float]
    steps: tuple[StepProfile, ...]
    run: timing.Timing
    marks: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def flops(self) -> float:
        """Floating-point operations of all steps."""
        return sum(step.flops for step in self.steps)

    @property
    def floor_s(self) -> float:
        """Seconds that the operations alone would take at the peaks of the model's tier."""
        return sum(
            step.flops / self.peaks[peak_name(self.isa, step.precision)] / 1e9
            for step in self.steps
        )

    @property
    def share_of_floor(self) -> float:
        """The floor over the median of whole runs: 1 is the machine's limit."""
        return self.floor_s / self.run.median_s

    @property
    def steps_median_s(self) -> float:
        """Seconds from the first step's begin to the last one's end, median of the rounds."""
        return float(np.median(self.marks[:, -1] - self.marks[:, 0]))

    @property
    def outside_s(self) -> float:
        """Seconds of a whole run outside of its steps.

        The call, its checks and the array of the result, less the time the recording took; the
        difference of two medians, hence at times below 0.
        """
        return self.run.median_s - self.steps_median_s

    def by_kernel(self) -> tuple[StepProfile, ...]:
        """The steps of each kernel together, in the order of their first one."""
        groups: dict[str, list[int]] = {}
        for i, step in enumerate(self.steps):
            groups.setdefault(step.kernel, []).append(i)
        return tuple(self._together(members) for members in groups.values())

    def _together(self, members: Sequence[int]) -> StepProfile:
        first, steps = self.steps[members[0]], [self.steps[i] for i in members]
        seconds = np.diff(self.marks)[:, members].sum(axis=1)
        return StepProfile(
            name=f"{len(steps)} step{'s' * (len(steps) != 1)}",
            kernel=first.kernel,
            isa=first.isa,
            precision=first.precision,
            chunks=sum(step.chunks for step in steps),
            flops=sum(step.flops for step in steps),
            bytes=sum(step.bytes for step in steps),
            median_s=float(np.median(seconds)),
            minimum_s=float(seconds.min()),
            peak_gflops=first.peak_gflops,
        )

    def table(self, *, sort: str = "order", by: str = "step") -> str:
        """The profile as text.

        Args:
            sort: "order" of execution, or "time", the slowest first.
            by: one line per "step" or per "kernel".

        Raises:
            ValueError: another sort or group.
        """
        if sort not in SORTS:
            raise ValueError(f"sort is {sort!r}; wanted one of {', '.join(SORTS)}")
        if by not in GROUPS:
            raise ValueError(f"by is {by!r}; wanted one of {', '.join(GROUPS)}")
        entries = list(self.steps if by == "step" else self.by_kernel())
        if sort == "time":
            entries.sort(key=lambda entry: -entry.median_s)
        total = self.steps_median_s
        rows: list[Sequence[str]] = [("steps" if by == "kernel" else "step", *_HEADINGS)]
        rows += [_row(entry, total) for entry in entries]
        peaks = ", ".join(f"{name} {gflops:.1f}" for name, gflops in self.peaks.items())
        return "\n".join(
            [
                f"{self.model}, {self.height} x {self.width} (H x W), {self.precision}, "
                f"{self.isa}, {self.threads} thread{'s' * (self.threads != 1)}, "
                f"{self.run.rounds} runs; peak in GFLOP/s: {peaks}",
                "",
                *align(rows, left=3),
                "",
                f"steps   {total * 1e3:9.3f} ms  {self.flops / total / 1e9:.1f} GFLOP/s",
                f"outside {self.outside_s * 1e3:9.3f} ms  of the steps: the call, less the "
                "recording's own time",
                f"run     {self.run.median_s * 1e3:9.3f} ms  median without recording; minimum "
                f"{self.run.minimum_s * 1e3:.3f}, spread {self.run.spread_s * 1e3:.3f}",
                f"floor   {self.floor_s * 1e3:9.3f} ms  {self.flops / 1e9:.3f} GFLOP at the peak: "
                f"the run is at {self.share_of_floor:.1%} of it",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "model": self.model,
            "height": self.height,
            "width": self.width,
            "isa": self.isa,
            "precision": self.precision,
            "threads": self.threads,
            "rounds": self.run.rounds,
            "peak_gflops": dict(self.peaks),
            "flops": self.flops,
            "floor_s": self.floor_s,
            "share_of_floor": self.share_of_floor,
            "run": {
                "median_s": self.run.median_s,
                "minimum_s": self.run.minimum_s,
                "spread_s": self.run.spread_s,
            },
            "steps_median_s": self.steps_median_s,
            "outside_s": self.outside_s,
            "steps": [step.to_dict() for step in self.steps],
        }

    def chrome_trace(self) -> dict[str, Any]:
        """Every recorded run in the Trace Event Format of chrome://tracing and Perfetto."""
        # Microseconds; whole runs enclose their steps.
        marks = (self.marks - self.marks[0, 0]) * 1e6
        where = {"pid": 1, "tid": 1}
        events: list[dict[str, Any]] = [
            {"ph": "M", "name": kind, "args": {"name": name}, **where}
            for kind, name in (
                ("process_name", f"lpn_core {self.model}"),
                ("thread_name", f"steps on {self.threads} threads"),
            )
        ]
        for number, moments in enumerate(marks):
            span = {"ts": float(moments[0]), "dur": float(moments[-1] - moments[0])}
            events.append({"ph": "X", "name": f"run {number}", "cat": "run", **span, **where})
            for step, begin, end in zip(self.steps, moments[:-1], moments[1:], strict=True):
                seconds = float(end - begin) * 1e-6
                events.append(
                    {
                        "ph": "X",
                        "name": step.name,
                        "cat": step.kernel,
                        "ts": float(begin),
                        "dur": float(end - begin),
                        **where,
                        "args": {
                            "kernel": step.kernel,
                            "chunks": step.chunks,
                            "GFLOP/s": _rate(step.flops, seconds),
                            "GB/s": _rate(step.bytes, seconds),
                        },
                    }
                )
        return {"traceEvents": events, "displayTimeUnit": "ms"}


def profile_network(
    compiled: _core.CompiledModel, name: str, height: int, width: int, rounds: int
) -> Profile:
    """See :meth:`lpn_core.Model.profile`."""
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; wanted at least 1")
    plan = compiled.steps(height, width)
    size = (1, height, width, compiled.input_channels)
    image = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    peaks = _peaks(plan, compiled)
    marks, run_seconds = [], []
    for block in timing.blocks(rounds):
        timing.warm_up(lambda: compiled.run(image))
        run_seconds.append(timing.time_runs(lambda: compiled.run(image), block))
        marks.append(compiled.profile(image, block))
    # The clock may have changed meanwhile, or another program stopped.
    peaks = {name: max(gflops, peaks[name]) for name, gflops in _peaks(plan, compiled).items()}
    all_marks = np.concatenate(marks)
    seconds = np.diff(all_marks)
    steps = tuple(
        StepProfile(
            **step,
            median_s=float(np.median(seconds[:, i])),
            minimum_s=float(seconds[:, i].min()),
            peak_gflops=peaks[peak_name(step["isa"], step["precision"])],
        )
        for i, step in enumerate(plan)
    )
    return Profile(
        model=name,
        height=height,
        width=width,
        isa=compiled.isa,
        precision=cast("Precision", compiled.precision),
        threads=compiled.threads,
        peaks=peaks,
        steps=steps,
        run=timing.summarise(np.concatenate(run_seconds)),
        marks=all_marks,
    )


def peak_name(isa: str, precision: Precision) -> str:
    """What :attr:`Profile.peaks` calls a tier's peak in a precision."""
    return isa if precision == "fp32" else f"{isa} {precision}"


def _peaks(plan: Sequence[PlanStep], compiled: _core.CompiledModel) -> dict[str, float]:
    used = {(step["isa"], step["precision"]): None for step in plan}
    floors = {(compiled.isa, step["precision"]): None for step in plan}
    return {
        peak_name(isa, precision): timing.peak_gflops(isa, compiled.threads, precision)
        for isa, precision in floors | used
    }


def _rate(amount: float, seconds: float) -> float:
    """10^9 a second; 0 for a step too short for the clock."""
    return amount / seconds / 1e9 if seconds > 0 else 0.0


def _row(entry: StepProfile, total_s: float) -> tuple[str, ...]:
    return (
        entry.name,
        entry.kernel,
        entry.isa,
        str(entry.chunks),
        f"{entry.median_s * 1e6:.1f}",
        f"{entry.minimum_s * 1e6:.1f}",
        f"{entry.median_s / total_s:.1%}",
        f"{entry.gflops:.1f}",
        f"{entry.share_of_peak:.1%}",
        f"{entry.bytes / 1e6:.2f}",
        f"{entry.gbytes_per_s:.1f}",
    )
