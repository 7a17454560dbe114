"""Whole processes: import, load and first result of LPN-50, peak memory, CPU used when idle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
from harness import Options, Prepared, ReplayClock, read_options
from report import Column, Report, Value
from rounds import HERE, THREAD_VARIABLES, Samples, WorkerError

PROCESSES = 10
TIMEOUT_S = 120
CLOCK = ReplayClock()
# Its first result takes as long as its compiler does: tens of seconds.
LEFT_OUT = ("torch_compile",)
SLOW_TO_START = ("torch_eager",)

COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("first result ms: median", "median_s", ".1f", 1e3),
    Column("min", "min_s", ".1f", 1e3),
    Column("spread", "spread", ".1%"),
    Column("best peer / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("peak MB", "peak_bytes", ".1f", 1e-6),
    Column("idle CPU ms/s", "idle_cpu_s", ".2f", 1e3),
    Column("note", "note"),
)

Runs = dict[str, list[dict[str, float]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "measured" in metafunc.fixturenames:
        options = read_options(metafunc.config)
        metafunc.parametrize("measured", [1] if options.smoke else [1, 2], indirect=True)
        metafunc.parametrize("engine", engines(options))


def engines(options: Options) -> list[str]:
    """Us, and the peers that are started."""
    left_out = {*LEFT_OUT, *(SLOW_TO_START if options.smoke else ())}
    return [peers.OURS, *(name for name in options.peers if name not in left_out)]


def start_process(engine: str, folder: Path, threads: int) -> dict[str, float]:
    """Runs startup.py; what it prints.

    Raises:
        WorkerError: it failed.
    """
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    command = [sys.executable, str(HERE / "startup.py"), engine, str(folder), str(threads)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise WorkerError(f"{engine} ended with {done.returncode}: {lines[-1]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, options: Options, prepared: Prepared, report: Report
) -> tuple[Runs, dict[str, str]]:
    threads: int = request.param
    runs: Runs = {}
    notes: dict[str, str] = {}
    for engine in engines(options):
        if peers.available(engine) is None:
            notes[engine] = "not installed"
            continue
        try:
            # The first process fills the page cache and is not counted.
            start_process(engine, prepared.folder(engine, "lpn50"), threads)
        except WorkerError as error:
            notes[engine] = str(error)
        else:
            runs[engine] = []
    for turn in range(options.rounds(PROCESSES)):
        names = list(runs)
        shift = turn % len(names)
        for engine in names[shift:] + names[:shift]:
            try:
                figures = start_process(engine, prepared.folder(engine, "lpn50"), threads)
            except WorkerError as error:
                notes[engine] = str(error)
                del runs[engine]
            else:
                runs[engine].append(figures)
    tabulate(threads, runs, notes, report)
    return runs, notes


def tabulate(threads: int, runs: Runs, notes: dict[str, str], report: Report) -> None:
    """Adds the rows to the closing table."""
    table = report.table("Whole processes: import, load and first result of LPN-50", COLUMNS)
    samples = {name: Samples([run["seconds"] for run in own]) for name, own in runs.items()}
    others = [own for name, own in samples.items() if name != peers.OURS]
    for engine in [*runs, *notes]:
        record: dict[str, Value] = {
            "case": f"threads {threads}",
            "engine": f"{engine} {peers.available(engine) or ''}".strip(),
            "note": notes.get(engine, ""),
        }
        if engine in runs:
            own = samples[engine]
            record |= {"median_s": own.median, "min_s": own.minimum, "spread": own.spread}
            for key in ("peak_bytes", "idle_cpu_s"):
                record[key] = float(np.median([run[key] for run in runs[engine]]))
            if others:
                record["ratio_median"] = min(o.median for o in others) / own.median
                record["ratio_min"] = min(o.minimum for o in others) / own.minimum
        table.records.append(record)


@pytest.mark.benchmark(timer=CLOCK)
def test_first_result(
    benchmark: Any, measured: tuple[Runs, dict[str, str]], engine: str, request: Any
) -> None:
    runs, notes = measured
    if engine not in runs:
        assert engine != peers.OURS, notes[engine]
        pytest.skip(f"{engine}: {notes[engine]}")
    benchmark.group = f"first result, threads {request.node.callspec.params['measured']}"
    peak = float(np.median([run["peak_bytes"] for run in runs[engine]]))
    benchmark.extra_info.update(engine=engine, peak_bytes=peak)
    CLOCK.replay(benchmark, Samples([run["seconds"] for run in runs[engine]]))
