"""Whole networks, images in and heatmaps out, against every peer that is installed."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import peers
import pytest
from harness import Options, Prepared, ReplayClock, read_options
from lpn_core import _core
from networks import NAMES, Network
from peak import best_peak, median_peak
from report import Column, Report, Value
from rounds import Samples, Worker, WorkerError, interleave

ROUNDS = 12
# bfloat16 rounds the maps between layers to 8 bits, and quantization to steps of one size.
TOLERANCES = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.2}
# CPUs beyond the number of threads that an engine may seem to use.
MARGIN = 0.1
ONE_THREAD = ", 1 thread"
IN_FP32 = ", fp32"
CLOCK = ReplayClock()

COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("median ms", "median_s", ".2f", 1e3),
    Column("min ms", "min_s", ".2f", 1e3),
    Column("spread", "spread", ".1%"),
    Column("best peer / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("share of peak: median", "share_median", ".1%"),
    Column("best", "share_min", ".1%"),
    Column("CPUs", "cpus", ".2f"),
    Column("waited", "waited", ".1%"),
    Column("speed-up by threads: median", "scaling_median", ".2f"),
    Column("min", "scaling_min", ".2f"),
    Column("by precision: median", "narrow_median", ".2f"),
    Column("min", "narrow_min", ".2f"),
    Column("error", "error", ".0e"),
    Column("note", "note"),
)
GC_COLUMNS = (
    Column("case", "case"),
    Column("network", "network"),
    *COLUMNS[2:5],
    Column("waited", "waited", ".1%"),
    Column("with / without: median", "ratio_median", ".3f"),
    Column("min", "ratio_min", ".3f"),
)


@dataclass(frozen=True)
class Case:
    """One network, batch, number of threads and precision."""

    network: str
    batch: int
    threads: int
    precision: str = "fp32"

    def __str__(self) -> str:
        narrow = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{self.network}-batch{self.batch}-threads{self.threads}{narrow}"


@dataclass(frozen=True)
class Entry:
    """One engine of a case: a peer, or one of our tiers.

    Attributes:
        engine: module of ``peers``.
        name: in the tables.
        threads: it may use.
        settings: of its ``load``.
    """

    engine: str
    name: str
    threads: int
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Measured:
    """What a case gave, by entry.

    Attributes:
        case: what was measured.
        samples: without seconds where the entry failed; the note says why.
        errors: relative maximum difference from our first entry's answer.
        versions: of the engines.
        isas: the tier, and the precision unless it is fp32, whose peak an entry is compared with.
        peaks: GFLOP/s by these, one a round.
    """

    case: Case
    samples: dict[str, Samples] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    isas: dict[str, str] = field(default_factory=dict)
    peaks: list[dict[str, float]] = field(default_factory=list)


def cases(options: Options) -> list[Case]:
    if options.smoke:
        return [Case("lpn50", 1, 1, precision) for precision in options.precisions]
    return [Case(*axes) for axes in itertools.product(NAMES, (1, 8), (1, 2), options.precisions)]


def our_entries(options: Options, threads: int, precision: str = "fp32") -> list[Entry]:
    """Our tiers; the first one also on one thread, and in float32, for what both bring."""
    entries = [
        Entry(peers.OURS, f"{peers.OURS} {isa}", threads, {"isa": isa, "precision": precision})
        for isa in options.isas or (_core.default_isa(),)
    ]
    first = entries[0]
    if threads > 1 and not options.smoke:
        entries.append(Entry(peers.OURS, f"{first.name}{ONE_THREAD}", 1, first.settings))
    if precision != "fp32":
        wide = {**first.settings, "precision": "fp32"}
        entries.insert(0, Entry(peers.OURS, f"{first.name}{IN_FP32}", threads, wide))
    return entries


def peer_entries(options: Options, case: Case) -> list[Entry]:
    """The engines that compute in the case's precision, in all forms of it."""
    return [
        Entry(engine, name, case.threads, settings)
        for engine in options.peers
        for name, settings in peers.settings(engine, case.precision).items()
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = read_options(metafunc.config)
    if "measured" in metafunc.fixturenames:
        metafunc.parametrize("measured", cases(options), indirect=True, ids=str)
        metafunc.parametrize("engine", [peers.OURS, *options.peers])


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, options: Options, prepared: Prepared, report: Report
) -> Measured:
    case: Case = request.param
    result = measure(case, options, prepared)
    tabulate(result, prepared.network(case.network), report)
    return result


def measure(case: Case, options: Options, prepared: Prepared) -> Measured:
    """Opens every engine in a process of its own, checks its answer and times them in turn."""
    result = Measured(case)
    network = prepared.network(case.network)
    # Bytes hold no other numbers than pixels.
    images = network.photos(case.batch) if case.precision == "int8" else network.images(case.batch)
    entries = our_entries(options, case.threads, case.precision) + peer_entries(options, case)
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        expected: Any = None
        for entry in entries:
            version = peers.available(entry.engine)
            if version is None:
                result.samples[entry.name] = Samples(note="not installed")
                continue
            result.versions[entry.name] = version
            try:
                precision = entry.settings.get("precision", "fp32")
                folder = prepared.folder(entry.engine, case.network, precision)
                worker = Worker(entry.name, entry.threads)
                stack.callback(worker.close)
                worker.start(
                    "peers.task:open_network",
                    engine=entry.engine,
                    folder=folder,
                    threads=entry.threads,
                    images=images,
                    **entry.settings,
                )
                answer = worker.answer()
            except WorkerError as error:
                result.samples[entry.name] = Samples(note=str(error))
                continue
            expected = answer if expected is None else expected
            result.errors[entry.name] = relative_error(answer, expected)
            workers[entry.name] = worker
        peak = Worker("peak", case.threads)
        stack.callback(peak.close)
        result.isas = {entry.name: limit_of(entry) for entry in entries}
        isas = sorted(set(result.isas.values()))
        peak.start("peak:Peak", isas=isas, threads=case.threads)
        runs = 5 if case.batch == 1 else 2
        timed, result.peaks = interleave(workers, options.rounds(ROUNDS), runs=runs, probe=peak)
        result.samples |= timed
    return result


def limit_of(entry: Entry) -> str:
    """The tier and precision whose peak an entry is compared with: the CPU's best for a peer."""
    isa = entry.settings.get("isa", _core.default_isa())
    precision = entry.settings.get("precision", "fp32")
    return isa if precision == "fp32" else f"{isa} {precision}"


def relative_error(answer: Any, expected: Any) -> float:
    """Largest difference over the largest magnitude; infinity for another shape, or NaN."""
    if answer.shape != expected.shape or not np.isfinite(answer).all():
        return float("inf")
    return float(np.abs(answer - expected).max() / np.abs(expected).max())


def tabulate(result: Measured, network: Network, report: Report) -> None:
    """Adds a case's rows to the closing table."""
    table = report.table("Networks: one run of a batch", COLUMNS)
    case = result.case
    flops = network.flops() * case.batch
    tolerance = TOLERANCES[case.precision]
    right = [
        samples
        for name, samples in result.samples.items()
        if not name.startswith(peers.OURS)
        and samples.seconds
        and result.errors[name] <= tolerance
        and samples.cpus <= case.threads + MARGIN
    ]
    for name, samples in result.samples.items():
        record: dict[str, Value] = {
            "case": str(case),
            "engine": f"{name} {result.versions.get(name, '')}".strip(),
            "error": result.errors.get(name),
            "note": samples.note,
        }
        if samples.seconds:
            record |= {
                "median_s": samples.median,
                "min_s": samples.minimum,
                "spread": samples.spread,
                "cpus": samples.cpus,
                "waited": samples.waited,
            }
            isa = result.isas[name]
            median, best = median_peak(result.peaks, isa), best_peak(result.peaks, isa)
            if not name.endswith(ONE_THREAD):
                record |= {
                    "peak_median": median,
                    "peak_best": best,
                    "share_median": flops / samples.median / median,
                    "share_min": flops / samples.minimum / best,
                }
            alone = result.samples.get(f"{name}{ONE_THREAD}")
            if alone is not None and alone.seconds:
                record |= {
                    "scaling_median": alone.median / samples.median,
                    "scaling_min": alone.minimum / samples.minimum,
                }
            wide = result.samples.get(f"{name}{IN_FP32}")
            if wide is not None and wide.seconds:
                record |= {
                    "narrow_median": wide.median / samples.median,
                    "narrow_min": wide.minimum / samples.minimum,
                }
            if right:
                record |= {
                    "ratio_median": min(s.median for s in right) / samples.median,
                    "ratio_min": min(s.minimum for s in right) / samples.minimum,
                }
            if result.errors[name] > tolerance:
                record["note"] = "wrong answer, not counted"
            elif samples.cpus > case.threads + MARGIN:
                record["note"] = "more threads than it may, not counted"
        table.records.append(record)


@pytest.mark.benchmark(timer=CLOCK)
def test_network(benchmark: Any, measured: Measured, engine: str) -> None:
    tolerance = TOLERANCES[measured.case.precision]
    entries = [name for name in measured.samples if name.split()[0] == engine]
    if not entries:
        pytest.skip(f"{engine} has no {measured.case.precision}")
    name = next((name for name in entries if not name.endswith(IN_FP32)), entries[0])
    if engine != peers.OURS:
        timed = [name for name in entries if measured.samples[name].seconds]
        name = min(timed, key=lambda name: measured.samples[name].median, default=name)
    samples = measured.samples[name]
    if not samples.seconds:
        pytest.skip(f"{engine}: {samples.note}")
    if engine == peers.OURS:
        errors = [e for other, e in measured.errors.items() if not other.startswith(peers.OURS)]
        assert not errors or min(errors) <= tolerance, "no peer computes what we compute"
        assert measured.errors[name] <= tolerance, f"off by {measured.errors[name]:.1e}"
    elif measured.errors[name] > tolerance:
        pytest.xfail(f"{engine} is off by {measured.errors[name]:.1e}")
    benchmark.group = str(measured.case)
    benchmark.extra_info.update(
        engine=name,
        version=measured.versions[name],
        error=measured.errors[name],
        peak_flops=median_peak(measured.peaks, measured.isas[name]),
    )
    CLOCK.replay(benchmark, samples)


@pytest.mark.parametrize("threads", [1, 2])
def test_gc_cost(options: Options, prepared: Prepared, report: Report, threads: int) -> None:
    if options.smoke and threads > 1:
        pytest.skip("smoke: one thread is enough")
    isa = our_entries(options, threads)[0].settings["isa"]
    labels = {"lpn50": "with attention", "lpn50-plain": "without"}
    with ExitStack() as stack:
        workers = {}
        for name in labels:
            network = prepared.network(name)
            workers[name] = worker = Worker(name, threads)
            stack.callback(worker.close)
            worker.start(
                "peers.task:open_network",
                engine=peers.OURS,
                folder=prepared.folder(peers.OURS, name),
                threads=threads,
                images=network.images(1),
                isa=isa,
            )
            assert np.isfinite(worker.answer()).all()
        samples, _ = interleave(workers, options.rounds(2 * ROUNDS))
    without = samples["lpn50-plain"]
    table = report.table("What global context costs", GC_COLUMNS)
    for name, label in labels.items():
        own = samples[name]
        assert own.seconds, own.note
        table.records.append(
            {
                "case": f"lpn50 {isa}, threads {threads}",
                "network": label,
                "median_s": own.median,
                "min_s": own.minimum,
                "spread": own.spread,
                "waited": own.waited,
                "ratio_median": own.median / without.median,
                "ratio_min": own.minimum / without.minimum,
            }
        )
