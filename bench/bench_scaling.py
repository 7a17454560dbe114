"""LPN-50, -101 and -152 on 1 to 64 threads, by simulation from the chunk times of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networks
import pytest
from harness import Options, read_options
from report import Column, Report
from scaling import PoolCosts, measure_chunks, measure_costs, simulate

ROUNDS = 60
SECONDS = 0.3
THREADS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
BATCHES = (1, 8)

COLUMNS = (
    Column("network", "network"),
    Column("batch", "batch", ".0f"),
    Column("threads", "threads", ".0f"),
    Column("ms", "seconds", ".3f", 1e3),
    Column("to one thread", "speedup", ".2f"),
    Column("of all threads' time: work", "work", ".1%"),
    Column("uneven chunks", "uneven", ".1%"),
    Column("steps of one chunk", "alone", ".1%"),
    Column("pool", "pool", ".1%"),
)
COSTS = (
    Column("hand-out ns", "hand_out", ".0f", 1e9),
    Column("another's ns", "steal", ".0f", 1e9),
    Column("loop ns", "loop", ".0f", 1e9),
    Column("each further worker ns", "worker", ".0f", 1e9),
)

Curves = dict[str, dict[int, float]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        smoke = read_options(metafunc.config).smoke
        metafunc.parametrize("name", networks.NAMES[:1] if smoke else networks.NAMES)


@pytest.fixture(scope="module")
def costs(options: Options, report: Report) -> PoolCosts:
    found = measure_costs(0.01 if options.smoke else SECONDS)
    report.table("What the pool takes, by two threads", COSTS).records.append(vars(found))
    return found


@pytest.fixture(scope="module")
def curves(request: pytest.FixtureRequest) -> Any:
    found: Curves = {}
    yield found
    plot: Path | None = request.config.getoption("--plot")
    if plot is not None:
        draw(found, plot)


def draw(curves: Mapping[str, Mapping[int, float]], file: Path) -> None:
    """Writes the curves in the format of the file's suffix."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError("--plot needs matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), "o-", label=name, markersize=3)
    axes.plot(THREADS, THREADS, ":", color="grey", label="threads")
    axes.set(xlabel="threads", ylabel="times as fast as one thread (simulated)")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(file)


def tabulate(
    name: str, steps: Sequence[Sequence[float]], batch: int, costs: PoolCosts, report: Report
) -> dict[int, float]:
    """Adds the rows of one curve and returns it."""
    table = report.table("Scaling: simulated", COLUMNS)
    one = simulate(steps, batch, 1, costs).seconds
    curve = {}
    for threads in THREADS:
        run = simulate(steps, batch, threads, costs)
        every = threads * run.seconds
        curve[threads] = one / run.seconds
        table.records.append(
            {
                "network": name, "batch": batch, "threads": threads, "seconds": run.seconds,
                "speedup": curve[threads], "work": run.work / every, "alone": run.alone / every,
                "uneven": run.uneven(threads) / every, "pool": run.pool / every,
            }
        )  # fmt: skip
    return curve


def test_scaling(
    name: str, options: Options, costs: PoolCosts, curves: Curves, report: Report
) -> None:
    steps = measure_chunks(networks.network(name), options.rounds(ROUNDS))
    assert all(time > 0 for step in steps for time in step)
    for batch in BATCHES:
        curve = tabulate(name, steps, batch, costs, report)
        assert curve[1] == 1
        assert all(speedup <= threads for threads, speedup in curve.items())
        curves[f"{name}, batch {batch}"] = curve
