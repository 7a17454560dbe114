"""Tables of numbers as text."""

from __future__ import annotations

from collections.abc import Mapping


def table(rows: Mapping[str, Mapping[str, float]], corner: str) -> str:
    """Named rows of named numbers with three decimals; the columns are those of the first row."""
    columns = list(next(iter(rows.values())))
    left = max(map(len, (corner, *rows))) + 2
    widths = [max(8, len(name) + 2) for name in columns]
    lines = [f"{corner:<{left}}"]
    lines[0] += "".join(f"{name:>{w}}" for name, w in zip(columns, widths, strict=True))
    for name, values in rows.items():
        numbers = (f"{values[key]:>{w}.3f}" for key, w in zip(columns, widths, strict=True))
        lines.append(f"{name:<{left}}" + "".join(numbers))
    return "\n".join(lines)
