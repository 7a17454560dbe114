"""Every registered kernel on every tier at LPN-50's shapes, against PyTorch and onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import kernel_tasks
import numpy as np
import peers
import pytest
from harness import Options, ReplayClock, read_options
from kernel_cases import Case, read_cases, smoke_cases, work
from lpn_core import _core
from peak import median_peak
from report import Column, Report, Value
from rounds import Samples, Worker, WorkerError, interleave

ROUNDS = 6
SECONDS = 0.03
CLOCK = ReplayClock()
BASELINES = ("torch_nchw", "torch_nhwc", "onnxruntime", "opencv")
SMOKE_BASELINES = ("onnxruntime", "opencv")
# Measures the peak that the others are compared with.
PROBES = {"fma_peak"}
# Run once, before a network does: bench_process.py measures them with the rest of a first run.
OF_LOADING = {"crc32c", "matmul"}
# OpenCV rounds positions to 1/32 pixel: mean difference in normalised units, half a grey level.
CROP_TOLERANCE = 0.5 / 255 / 0.225
# Pixels.
COORDINATE_TOLERANCE = 1e-3
TOLERANCE = 1e-4

COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("median us", "median_s", ".1f", 1e6),
    Column("min us", "min_s", ".1f", 1e6),
    Column("spread", "spread", ".1%"),
    Column("best baseline / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("waited", "waited", ".1%"),
    Column("GFLOP/s", "flops_per_s", ".1f", 1e-9),
    Column("GB/s", "bytes_per_s", ".1f", 1e-9),
    Column("share of peak", "share", ".1%"),
    Column("note", "note"),
)


@dataclass
class Measured:
    """What a case gave, by engine; the baselines' worst difference from us where it is too much."""

    case: Case
    samples: dict[str, Samples] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    peaks: list[dict[str, float]] = field(default_factory=list)


class Engines:
    """One process per engine, kept from case to case."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._workers: dict[str, Worker] = {}

    def get(self, name: str) -> Worker:
        """The engine's process."""
        if name not in self._workers:
            self._workers[name] = Worker(name, threads=1)
            self._stack.callback(self._workers[name].close)
        return self._workers[name]

    def drop(self, name: str) -> None:
        """Forgets a process that failed; the next case gets a new one."""
        self._workers.pop(name, None)


def tiers(options: Options) -> list[str]:
    """The tiers that are measured, the one that is compared first."""
    if options.isas:
        return list(options.isas)
    return [_core.default_isa()] if options.smoke else _core.supported_isas()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "measured" in metafunc.fixturenames:
        options = read_options(metafunc.config)
        found = smoke_cases() if options.smoke else read_cases()
        metafunc.parametrize("measured", found, indirect=True, ids=str)
        metafunc.parametrize("engine", [*tiers(options), *BASELINES])


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with ExitStack() as stack:
        yield Engines(stack)


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, options: Options, engines: Engines, report: Report
) -> Measured:
    result = measure(request.param, options, engines)
    tabulate(result, tiers(options), report)
    return result


def suits(case: Case, baseline: str) -> bool:
    """Whether a baseline has the case's operation."""
    if case.op == "crop_affine":
        return baseline == "opencv"
    return baseline != "opencv" and (case.is_graph or baseline != "torch_nhwc")


def baseline_installed(name: str) -> bool:
    package = name.partition("_")[0]
    if package == "opencv":
        return peers.installed("opencv-python-headless", "cv2") is not None
    return peers.available("torch_eager" if package == "torch" else package) is not None


def measure(case: Case, options: Options, engines: Engines) -> Measured:
    """Checks every engine's answer against our first tier's and times them in turn."""
    result = Measured(case)
    starts: dict[str, tuple[str, dict[str, str]]] = {
        isa: ("kernel_tasks:lpn_core", {"isa": isa}) for isa in tiers(options)
    }
    for name in BASELINES:
        if not suits(case, name) or (options.smoke and name not in SMOKE_BASELINES):
            continue
        if baseline_installed(name):
            starts[name] = (f"kernel_tasks:{name}", {})
        else:
            result.samples[name] = Samples(note="not installed")
    workers: dict[str, Worker] = {}
    expected: Any = None
    for name, (path, arguments) in starts.items():
        worker = engines.get(name)
        try:
            worker.start(path, case=case, **arguments)
            answer = worker.answer()
        except WorkerError as error:
            engines.drop(name)
            result.samples[name] = Samples(note=str(error))
            continue
        expected = answer if expected is None else expected
        difference = compare(case, answer, expected)
        if difference:
            result.wrong[name] = difference
        workers[name] = worker
    peak = engines.get("peak")
    isas = sorted({_core.default_isa(), *tiers(options)})
    peak.start("peak:Peak", isas=isas, threads=1)
    rounds = options.rounds(ROUNDS)
    seconds = 0.0 if options.smoke else SECONDS
    timed, result.peaks = interleave(
        workers, rounds, runs=3, seconds=seconds, warm_up_s=0.01, probe=peak
    )
    result.samples |= timed
    return result


def compare(case: Case, answer: Any, expected: Any) -> str:
    """What is wrong with an answer; nothing if it is right."""
    if answer.shape != expected.shape:
        return f"shape {answer.shape}, ours is {expected.shape}"
    difference = np.abs(answer - expected)
    if case.op == "crop_affine":
        error, limit = float(difference.mean()), CROP_TOLERANCE
    elif case.op in ("soft_argmax", "argmax"):
        error, limit = float(difference.max()), COORDINATE_TOLERANCE
    else:
        error, limit = float(difference.max() / np.abs(expected).max()), TOLERANCE
    return "" if error <= limit else f"differs by {error:.1e}"


def tabulate(result: Measured, isas: list[str], report: Report) -> None:
    """Adds a case's rows to the closing table."""
    table = report.table("Kernels: one thread", COLUMNS)
    flops, size = work(result.case)
    right = [
        samples
        for name, samples in result.samples.items()
        if name not in isas and samples.seconds and name not in result.wrong
    ]
    for name, samples in result.samples.items():
        record: dict[str, Value] = {
            "case": str(result.case),
            "engine": f"{peers.OURS} {name}" if name in isas else name,
            "note": result.wrong.get(name, samples.note),
        }
        if samples.seconds:
            peak = median_peak(result.peaks, name if name in isas else _core.default_isa())
            record |= {
                "median_s": samples.median,
                "min_s": samples.minimum,
                "spread": samples.spread,
                "waited": samples.waited,
                "flops_per_s": flops / samples.median if flops else None,
                "bytes_per_s": size / samples.median,
                "peak_flops": peak,
                "share": flops / samples.median / peak if flops else None,
            }
            if right:
                record["ratio_median"] = min(s.median for s in right) / samples.median
                record["ratio_min"] = min(s.minimum for s in right) / samples.minimum
        table.records.append(record)


@pytest.mark.benchmark(timer=CLOCK)
def test_kernel(benchmark: Any, measured: Measured, options: Options, engine: str) -> None:
    samples = measured.samples.get(engine)
    if samples is None or not samples.seconds:
        if samples:
            reason = samples.note
        else:
            suitable = engine in BASELINES and suits(measured.case, engine)
            reason = "smoke: not timed" if suitable else "has no such operation"
        if engine in tiers(options):
            pytest.fail(reason)
        pytest.skip(f"{engine}: {reason}")
    baselines = [name for name in measured.samples if name in BASELINES]
    if engine in tiers(options):
        assert engine not in measured.wrong, measured.wrong[engine]
        agreeing = [n for n in baselines if n not in measured.wrong and measured.samples[n].seconds]
        assert agreeing or not measured.wrong, f"no baseline agrees: {measured.wrong}"
    elif engine in measured.wrong:
        pytest.xfail(f"{engine} {measured.wrong[engine]}")
    benchmark.group = str(measured.case)
    isa = engine if engine in tiers(options) else _core.default_isa()
    benchmark.extra_info.update(engine=engine, peak_flops=median_peak(measured.peaks, isa))
    CLOCK.replay(benchmark, samples)


def test_every_kernel_is_measured() -> None:
    """Of float32: the maps of a network of one node stay that."""
    isa = _core.default_isa()
    seen = PROBES | OF_LOADING
    for case in read_cases():
        if case.is_graph:
            seen.update(kernel_tasks.plan(case, isa))
        else:
            seen.add(case.op)
    missing = [
        op
        for op, variants in _core.kernels().items()
        if not any(element in op for element in ("bf16", "u8"))
        and op not in seen
        and not any(function in seen for function, _ in variants)
    ]
    assert not missing, f"no case of shapes.toml runs {', '.join(missing)}"
