"""Options of the benchmarks, and their closing tables."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import peers
import pytest
from harness import PRECISIONS, Options, Prepared, read_options
from report import Report

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lpn", "benchmarks of lpn_core")
    group.addoption(
        "--smoke",
        action="store_true",
        help="one round of the cheapest cases: shows that the benchmarks run, not how fast",
    )
    group.addoption(
        "--peers",
        default=None,
        help=f"comma-separated, of {', '.join(peers.NAMES)} (all that are installed)",
    )
    group.addoption("--rounds", type=int, default=None, help="turns of each engine")
    group.addoption(
        "--isa",
        default=None,
        help="our tier, or several that are timed beside each other; the first one is compared",
    )
    group.addoption(
        "--precision",
        default="fp32",
        help=f"of whole networks, comma-separated, of {', '.join(PRECISIONS)} (fp32)",
    )
    group.addoption(
        "--plot", type=Path, default=None, help="where bench_scaling.py draws its curves"
    )
    group.addoption("--save", type=Path, default=None, help="writes the tables to a JSON file")
    group.addoption("--markdown", type=Path, default=None, help="writes the tables as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report(shlex.join(["pytest", *sys.argv[1:]]))


@pytest.fixture(scope="session")
def options(request: pytest.FixtureRequest) -> Options:
    return read_options(request.config)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("networks"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    report = config.stash[_REPORT]
    for table in report.tables.values():
        terminalreporter.section(table.title)
        for line in table.text():
            terminalreporter.write_line(line)
    if report.tables and config.getoption("--save"):
        report.save_json(config.getoption("--save"))
    if report.tables and config.getoption("--markdown"):
        report.save_markdown(config.getoption("--markdown"))
