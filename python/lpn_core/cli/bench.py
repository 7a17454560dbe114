"""lpn bench: how fast a model is on this machine."""

from __future__ import annotations

import io
import itertools
import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lpn_core._core import __version__
from lpn_core._files import write_atomically
from lpn_core._text import align
from lpn_core.cli.bar_chart import Bar, bar_chart
from lpn_core.cli.models import available_threads, isa_option, open_model
from lpn_core.cli.outputs import check_folder
from lpn_core.estimator import PoseEstimator
from lpn_core.model import timing
from lpn_core.model.model import PRECISIONS, Model

if TYPE_CHECKING:
    from lpn_core._types import Precision

# The pipeline's photograph.
_WIDTH, _HEIGHT = 1920, 1080
_HEADINGS = (
    "what", "precision", "threads", "batch", "median ms", "minimum", "spread", "persons/s",
    "floor ms", "of floor",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What was measured; see :class:`Result`."""

    what: str
    precision: Precision
    threads: int
    batch: int
    flops: Mapping[Precision, float]
    taken: timing.Timing
    peaks: Mapping[Precision, float]


@dataclass(frozen=True)
class Result:
    """What one case took.

    Attributes:
        what: "network" (crops to heatmaps) or "pipeline" (photo and boxes to keypoints).
        precision: of the network.
        threads: that worked together.
        batch: people per call.
        rounds: calls measured.
        median_s: seconds of a call.
        minimum_s: of the fastest call.
        spread_s: interquartile range.
        persons_per_s: at the median.
        peak_gflops: by precision, the peak of so many threads, the best of before and after each
            case.
        floor_s: seconds that the network's operations alone take at the peak of the precision that
            each is done in.
        share_of_floor: the floor over the median; 1 is the machine's limit.
    """

    what: str
    precision: Precision
    threads: int
    batch: int
    rounds: int
    median_s: float
    minimum_s: float
    spread_s: float
    persons_per_s: float
    peak_gflops: Mapping[Precision, float]
    floor_s: float
    share_of_floor: float


@click.command()
@click.argument("model", default="lpn50")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    help="May be repeated.  [default: 1, and all that this process may use]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=(1, 8),
    show_default=True,
    help="People per call; may be repeated.",
)
@isa_option
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(PRECISIONS),
    multiple=True,
    default=("fp32",),
    show_default=True,
    help="Of maps and matrix products; may be repeated: all in one table and one chart.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Measured calls of each case.",
)
@click.option(
    "--chart",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw persons per second as bars.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def bench(
    model: str,
    threads: tuple[int, ...],
    batch: tuple[int, ...],
    isa: str | None,
    precisions: tuple[str, ...],
    rounds: int,
    chart: Path | None,
    as_json: bool,
) -> None:
    """Time MODEL, a bundled name or a model file (lpn50), on this machine.

    Two ways: the network alone (normalised crops to heatmaps) and the whole pipeline (a 1920 x 1080
    photo with boxes to keypoints). Every block of ten calls starts warm. The floor is the time that
    the network's operations alone take at the peak of their precision that so many threads reach on
    this machine, measured before and after each case; "of floor" is 100% at the machine's limit.
    Other work on the machine shows in the figures: look at the minimum, too.
    """
    if chart is not None and chart.suffix.lower() != ".png":
        raise click.BadParameter(f"{chart} is not called .png", param_hint="--chart")
    if chart is not None:
        check_folder(chart.parent, "--chart")
    counts = sorted(set(threads or (1, available_threads())))
    cases = list(itertools.product(dict.fromkeys(precisions), counts, sorted(set(batch))))
    measured: list[Case] = []
    for precision, count, size in tqdm(
        cases, unit="case", file=sys.stderr, disable=None, leave=False
    ):
        with open_model(model, threads=count, isa=isa, precision=precision) as opened:
            name, tier = opened.name, opened.isa
            measured += run_case(opened, size, rounds)
    results = [conclude(case, measured) for case in sorted(measured, key=lambda case: case.what)]
    document = {
        "model": name,
        "isa": tier,
        "cpu": _cpu_name(),
        "version": __version__,
        "results": [asdict(result) for result in results],
    }
    title = f"lpn_core {__version__}, {name}, {tier}, {document['cpu']}"
    if chart is not None:
        _write_chart(chart, title, results)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(f"{title}\n\n{table(results)}")


def run_case(model: Model, batch: int, rounds: int) -> list[Case]:
    """Measures the network and the pipeline on ``batch`` people."""
    height, width = model.input.height, model.input.width
    size = (batch, height, width, model.compiled.input_channels)
    crops = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    estimator = PoseEstimator(model)
    photo, boxes = synthetic_photo(_HEIGHT, _WIDTH), scattered_boxes(batch)
    runs: dict[str, Callable[[], object]] = {
        "network": lambda: model(crops),
        "pipeline": lambda: estimator(photo, boxes, order="rgb"),
    }
    flops: dict[Precision, float] = {}
    for step in model.steps():
        flops[step["precision"]] = flops.get(step["precision"], 0) + batch * step["flops"]
    cases = []
    peaks = _peaks(model, flops)
    for what, run in runs.items():
        taken = timing.measure(run, rounds)
        peaks = {name: max(peaks[name], gflops) for name, gflops in _peaks(model, flops).items()}
        cases.append(Case(what, model.precision, model.threads, batch, flops, taken, peaks))
    return cases


def _peaks(model: Model, precisions: Iterable[Precision]) -> dict[Precision, float]:
    return {name: timing.peak_gflops(model.isa, model.threads, name) for name in precisions}


def conclude(case: Case, cases: Iterable[Case]) -> Result:
    """A case's figures, against the best peaks that any case saw with as many threads."""
    seen = [other.peaks for other in cases if other.threads == case.threads]
    peaks = {name: max(peaks[name] for peaks in seen if name in peaks) for name in case.flops}
    floor_s = sum(flops / peaks[name] / 1e9 for name, flops in case.flops.items())
    return Result(
        what=case.what,
        precision=case.precision,
        threads=case.threads,
        batch=case.batch,
        rounds=case.taken.rounds,
        median_s=case.taken.median_s,
        minimum_s=case.taken.minimum_s,
        spread_s=case.taken.spread_s,
        persons_per_s=case.batch / case.taken.median_s,
        peak_gflops=peaks,
        floor_s=floor_s,
        share_of_floor=floor_s / case.taken.median_s,
    )


def synthetic_photo(height: int, width: int) -> NDArray[np.uint8]:
    """A (height, width, 3) picture of smooth waves: what it shows does not change the time."""
    channels = np.arange(3)
    across = 63 * np.sin(np.arange(width)[:, None] / (17 + 9 * channels))
    down = 63 * np.cos(np.arange(height)[:, None, None] / (23 - 5 * channels)) + 127
    photo: NDArray[np.uint8] = (across + down).astype(np.uint8)
    return photo


def scattered_boxes(count: int) -> NDArray[np.float64]:
    """(count, 4) xywh boxes of people of several sizes all over the photo."""
    generator = np.random.default_rng(0)
    height = generator.uniform(0.3, 0.7, count) * _HEIGHT
    width = height * generator.uniform(0.3, 0.6, count)
    left = generator.uniform(0, _WIDTH - width)
    top = generator.uniform(0, _HEIGHT - height)
    return np.stack([left, top, width, height], axis=1)


def table(results: Iterable[Result]) -> str:
    """The results as text."""
    rows: list[Sequence[str]] = [_HEADINGS]
    rows += [
        (
            result.what,
            result.precision,
            str(result.threads),
            str(result.batch),
            f"{result.median_s * 1e3:.2f}",
            f"{result.minimum_s * 1e3:.2f}",
            f"{result.spread_s * 1e3:.2f}",
            f"{result.persons_per_s:.1f}",
            f"{result.floor_s * 1e3:.2f}",
            f"{result.share_of_floor:.1%}",
        )
        for result in results
    ]
    return "\n".join(align(rows, left=2))


def _write_chart(path: Path, title: str, results: Iterable[Result]) -> None:
    bars = [
        Bar(
            label=f"{result.what}, {result.precision}, {result.threads} "
            f"thread{'s' * (result.threads != 1)}, batch {result.batch}",
            group=result.what,
            value=result.persons_per_s,
            limit=result.batch / result.floor_s,
            text=f"{result.persons_per_s:.1f} ({result.median_s * 1e3:.2f} ms)",
        )
        for result in results
    ]
    picture = bar_chart(title, "persons per second; outlined: at the peak of the CPU", bars)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    try:
        write_atomically(path, [buffer.getvalue()])
    except OSError as error:
        raise click.ClickException(str(error)) from None


def _cpu_name() -> str:
    """The processor as the system calls it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
