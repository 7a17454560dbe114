"""Tables of results: on the terminal, as Markdown, and as JSON with the unrounded numbers."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lpn_core
from lpn_core import _core

Value = str | float | int | None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: as printed, with the unit.
        key: of the record's value.
        form: format of a number; a missing value is printed as "-".
        scale: the printed number is the value times this.
    """

    title: str
    key: str
    form: str = ""
    scale: float = 1.0

    def show(self, record: Mapping[str, Value]) -> str:
        value = record.get(self.key)
        if value is None:
            return "-"
        return value if isinstance(value, str) else format(value * self.scale, self.form)


@dataclass
class Table:
    """Records with one way of printing them.

    Attributes:
        title: what was measured.
        columns: what is printed of each record.
        records: raw values, seconds and bytes.
    """

    title: str
    columns: Sequence[Column]
    records: list[Mapping[str, Value]] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """The heading and the rows, as strings; columns without any value are left out."""
        shown = [c for c in self.columns if any(c.show(r) not in ("-", "") for r in self.records)]
        return [[c.title for c in shown], *([c.show(r) for c in shown] for r in self.records)]

    def text(self) -> Iterator[str]:
        """Aligned lines."""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = [
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(padded).rstrip()

    def markdown(self) -> Iterator[str]:
        """Lines of a Markdown table under a heading."""
        heading, *rows = self.cells()
        yield f"### {self.title}"
        yield ""
        for row in (heading, ["---"] * min(2, len(heading)) + ["---:"] * (len(heading) - 2), *rows):
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


class Report:
    """All tables of a run, in the order in which they were begun."""

    def __init__(self, command: str) -> None:
        self.tables: dict[str, Table] = {}
        self._command = command

    def table(self, title: str, columns: Sequence[Column]) -> Table:
        """The table of that title, made on first use."""
        return self.tables.setdefault(title, Table(title, columns))

    def machine(self) -> dict[str, str]:
        """What the numbers depend on."""
        return {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "cpu": _cpu_name(),
            "cpus": str(len(os.sched_getaffinity(0))),
            "tiers": ", ".join(_core.supported_isas()),
            "python": platform.python_version(),
            "lpn_core": lpn_core.__version__,
            "command": self._command,
        }

    def save_json(self, path: Path) -> None:
        """Writes the machine and all records."""
        tables = [{"title": t.title, "records": t.records} for t in self.tables.values()]
        _write(path, json.dumps({"machine": self.machine(), "tables": tables}, indent=1))

    def save_markdown(self, path: Path) -> None:
        """Writes the machine and all tables."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine().items())
        parts = [f"Measured: {machine}"]
        parts += ["\n".join(table.markdown()) for table in self.tables.values()]
        _write(path, "\n\n".join(parts) + "\n")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _cpu_name() -> str:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
