"""Options of the benchmarks, and a closing table of us against the peers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--smoke",
        action="store_true",
        help="one round of everything: shows that the benchmarks run, not how fast",
    )


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """Timed runs of each side."""
    return 1 if request.config.getoption("--smoke") else 40


@pytest.fixture(scope="session")
def comparisons(request: pytest.FixtureRequest) -> list[Sequence[str]]:
    """Rows (case, ours, peer, ratio) of the closing table."""
    rows: list[Sequence[str]] = []
    request.config.stash[_ROWS] = rows
    return rows


_ROWS = pytest.StashKey[list[Sequence[str]]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("median of interleaved runs")
        for case, ours, peer, ratio in [("case", "lpn_core", "onnxruntime", "ratio"), *rows]:
            terminalreporter.write_line(f"{case:40}{ours:>12}{peer:>14}{ratio:>9}")
