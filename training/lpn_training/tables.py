"""Markdown tables of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lpn_training.compare import Comparison


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read_stages(run: Path) -> list[dict[str, Any]]:
    """The records of a run's finished stages.

    Raises:
        ValueError: No stage is finished.
    """
    path = run / "stages.json"
    if not path.exists():
        raise ValueError(f"{run} has no stages.json: it is no run, or its first stage is not over")
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


def stage_table(records: Sequence[dict[str, Any]]) -> str:
    """One row per stage: samples seen by its end, its best AP and whether that was kept.

    Beside it the AP on people that the choice did not see, and on some that were trained on.
    """
    rows = [
        [
            str(record["stage"]),
            f"{record['samples']:,}",
            _figure(record["ap"]),
            f"{record['best_step']:,}",
            "yes" if record["improved"] else "no, the best before it stays",
        ]
        for record in records
    ]
    head = ["stage", "samples", "best AP", "at step", "improved"]
    for key, title in (("reported_ap", "reported AP"), ("trained_ap", "AP on trained people")):
        if any(key in record for record in records):
            head.append(title)
            for row, record in zip(rows, records, strict=True):
                row.append(_figure(record.get(key)))
    return markdown(head, rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def comparison_table(found: Sequence[Comparison]) -> str:
    """One row per network: AP and mean OKS, and how far above the first, with 95% intervals."""
    rows = [[found[0].name, f"{found[0].ap.value:.4f}", "", f"{found[0].oks.value:.4f}", ""]]
    for entry in found[1:]:
        row = [entry.name]
        for figure in (entry.ap, entry.oks):
            interval = f"{figure.low:+.4f} .. {figure.high:+.4f}"
            row += [f"{figure.value:.4f}", f"{figure.difference:+.4f} ({interval})"]
        rows.append(row)
    head = ("checkpoint", "AP", "above the first (95%)", "mean OKS", "above the first (95%)")
    return markdown(head, rows)
