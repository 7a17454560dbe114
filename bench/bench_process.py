"""Whole processes: import, load and first result of LPN-50, peak memory, CPU used when idle."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
from harness import Options, Prepared, ReplayClock, read_options
from peers.lpn_core import INTEGERS
from report import Column, Report, Value
from rounds import HERE, THREAD_VARIABLES, Samples, WorkerError

PROCESSES = 10
TIMEOUT_S = 120
CLOCK = ReplayClock()
# Its first result takes as long as its compiler does: tens of seconds.
LEFT_OUT = ("torch_compile",)
SLOW_TO_START = ("torch_eager",)
IN_FP32 = f"{peers.OURS}, fp32"
# Loaded from a file that has nothing else.
INTEGERS_ALONE = f"{peers.OURS}, integers alone"

COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("first result ms: median", "median_s", ".1f", 1e3),
    Column("min", "min_s", ".1f", 1e3),
    Column("spread", "spread", ".1%"),
    Column("best peer / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("under own fp32 ms: median", "under_median_s", ".1f", 1e3),
    Column("min", "under_min_s", ".1f", 1e3),
    Column("peak MB", "peak_bytes", ".1f", 1e-6),
    Column("idle CPU ms/s", "idle_cpu_s", ".2f", 1e3),
    Column("note", "note"),
)

Runs = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Case:
    """Threads, and the precision of all but the row of our own float32."""

    threads: int
    precision: str

    def __str__(self) -> str:
        narrow = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"threads{self.threads}{narrow}"


@dataclass(frozen=True)
class Entry:
    """One row: an engine, and what it is loaded with."""

    engine: str
    settings: dict[str, str]

    @property
    def precision(self) -> str:
        return self.settings.get("precision", "fp32")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "measured" in metafunc.fixturenames:
        options = read_options(metafunc.config)
        threads = [1] if options.smoke else [1, 2]
        cases = [Case(*axes) for axes in itertools.product(threads, options.precisions)]
        metafunc.parametrize("measured", cases, indirect=True, ids=str)
        metafunc.parametrize("engine", engines(options))


def engines(options: Options) -> list[str]:
    """Us, and the peers that are started."""
    left_out = {*LEFT_OUT, *(SLOW_TO_START if options.smoke else ())}
    return [peers.OURS, *(name for name in options.peers if name not in left_out)]


def entries(options: Options, precision: str) -> dict[str, Entry]:
    """By names for tables."""
    found = {peers.OURS if precision == "fp32" else IN_FP32: Entry(peers.OURS, {})}
    if precision != "fp32":
        found[peers.OURS] = Entry(peers.OURS, {"precision": precision})
    if precision == "int8":
        settings = {"precision": precision, "file": INTEGERS}
        found[INTEGERS_ALONE] = Entry(peers.OURS, settings)
    for engine in engines(options)[1:]:
        for name, settings in peers.settings(engine, precision).items():
            found[name] = Entry(engine, settings)
    return found


def start_process(entry: Entry, folder: Path, threads: int) -> dict[str, float]:
    """Runs startup.py; what it prints.

    Raises:
        WorkerError: it failed.
    """
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    command = [sys.executable, str(HERE / "startup.py"), entry.engine, str(folder), str(threads)]
    command += [f"{name}={value}" for name, value in entry.settings.items()]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise WorkerError(f"{entry.engine} ended with {done.returncode}: {lines[-1]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, options: Options, prepared: Prepared, report: Report
) -> tuple[Runs, dict[str, str]]:
    case: Case = request.param
    started = entries(options, case.precision)
    runs: Runs = {}
    notes: dict[str, str] = {}

    def start(entry: Entry) -> dict[str, float]:
        folder = prepared.folder(entry.engine, "lpn50", entry.precision)
        return start_process(entry, folder, case.threads)

    for name, entry in started.items():
        if peers.available(entry.engine) is None:
            notes[name] = "not installed"
            continue
        try:
            # The first process fills the page cache and is not counted.
            start(entry)
        except WorkerError as error:
            notes[name] = str(error)
        else:
            runs[name] = []
    for turn in range(options.rounds(PROCESSES)):
        names = list(runs)
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            try:
                figures = start(started[name])
            except WorkerError as error:
                notes[name] = str(error)
                del runs[name]
            else:
                runs[name].append(figures)
    tabulate(case, started, runs, notes, report)
    return runs, notes


def tabulate(
    case: Case, started: dict[str, Entry], runs: Runs, notes: dict[str, str], report: Report
) -> None:
    """Adds the rows to the closing table."""
    table = report.table("Whole processes: import, load and first result of LPN-50", COLUMNS)
    samples = {name: Samples([run["seconds"] for run in own]) for name, own in runs.items()}
    others = [own for name, own in samples.items() if started[name].engine != peers.OURS]
    for name in [*runs, *notes]:
        engine = started[name].engine
        record: dict[str, Value] = {
            "case": str(case),
            "engine": f"{name} {peers.available(engine) or ''}".strip(),
            "note": notes.get(name, ""),
        }
        if name in runs:
            own = samples[name]
            record |= {"median_s": own.median, "min_s": own.minimum, "spread": own.spread}
            for key in ("peak_bytes", "idle_cpu_s"):
                record[key] = float(np.median([run[key] for run in runs[name]]))
            wide = samples.get(IN_FP32)
            if wide is not None and engine == peers.OURS and name != IN_FP32:
                record["under_median_s"] = wide.median - own.median
                record["under_min_s"] = wide.minimum - own.minimum
            if others:
                record["ratio_median"] = min(o.median for o in others) / own.median
                record["ratio_min"] = min(o.minimum for o in others) / own.minimum
        table.records.append(record)


@pytest.mark.benchmark(timer=CLOCK)
def test_first_result(
    benchmark: Any, measured: tuple[Runs, dict[str, str]], engine: str, request: Any
) -> None:
    runs, notes = measured
    case: Case = request.node.callspec.params["measured"]
    names = [engine] if engine == peers.OURS else list(peers.settings(engine, case.precision))
    if not names:
        pytest.skip(f"{engine} has no {case.precision}")
    samples = {name: Samples([run["seconds"] for run in runs.get(name, ())]) for name in names}
    timed = [name for name in names if samples[name].seconds]
    if not timed:
        reason = "; ".join(notes[name] for name in names)
        assert engine != peers.OURS, reason
        pytest.skip(f"{engine}: {reason}")
    name = min(timed, key=lambda name: samples[name].median)
    benchmark.group = f"first result, {case}"
    peak = float(np.median([run["peak_bytes"] for run in runs[name]]))
    benchmark.extra_info.update(engine=name, peak_bytes=peak)
    CLOCK.replay(benchmark, samples[name])
