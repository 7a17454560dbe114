"""Skeletons onto a 1080p picture, against OpenCV's anti-aliased lines."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import peers
import pytest
from harness import Options, ReplayClock, read_options
from report import Column, Report
from rounds import Samples, Worker, interleave

ROUNDS = 12
CLOCK = ReplayClock()
ENGINES = (peers.OURS, "opencv")
# Of the pixels that either paints so many are painted by both: OpenCV rounds joints and widths.
AGREEING = 0.9

COLUMNS = (
    Column("people", "people"),
    Column("engine", "engine"),
    Column("median ms", "median_s", ".2f", 1e3),
    Column("min ms", "min_s", ".2f", 1e3),
    Column("spread", "spread", ".1%"),
    Column("peer / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("waited", "waited", ".1%"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "measured" in metafunc.fixturenames:
        cases = [1] if read_options(metafunc.config).smoke else [1, 8]
        metafunc.parametrize("measured", cases, indirect=True, ids="{}-people".format)
        metafunc.parametrize("engine", ENGINES)


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, options: Options, report: Report
) -> dict[str, Samples]:
    """Checks that both paint the same pixels, then times them in turn."""
    if peers.installed("opencv-python-headless", "cv2") is None:
        pytest.skip("opencv-python-headless is not installed")
    people: int = request.param
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        painted = []
        for name, path in zip(ENGINES, ("OurDrawing", "PeerDrawing"), strict=True):
            workers[name] = worker = Worker(name, threads=1)
            stack.callback(worker.close)
            worker.start(f"drawing:{path}", people=people)
            painted.append(worker.answer())
        ours, theirs = painted
        agreeing = (ours & theirs).sum() / (ours | theirs).sum()
        assert agreeing >= AGREEING, f"{agreeing:.1%} of the painted pixels are both engines'"
        samples, _ = interleave(workers, options.rounds(ROUNDS), runs=10)
    table = report.table("Drawing: skeletons onto a 1080p picture", COLUMNS)
    peer = samples[ENGINES[1]]
    for name, own in samples.items():
        assert own.seconds, own.note
        table.records.append(
            {
                "people": str(people),
                "engine": name,
                "median_s": own.median,
                "min_s": own.minimum,
                "spread": own.spread,
                "waited": own.waited,
                "ratio_median": peer.median / own.median,
                "ratio_min": peer.minimum / own.minimum,
            }
        )
    return samples


@pytest.mark.benchmark(timer=CLOCK)
def test_drawing(benchmark: Any, measured: dict[str, Samples], engine: str) -> None:
    benchmark.group = "drawing"
    benchmark.extra_info.update(engine=engine)
    CLOCK.replay(benchmark, measured[engine])
