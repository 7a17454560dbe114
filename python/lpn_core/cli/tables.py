"""Tables of numbers as text."""

from __future__ import annotations

from collections.abc import Mapping

from lpn_core._text import align


def table(rows: Mapping[str, Mapping[str, float]], corner: str) -> str:
    """Named rows of named numbers with three decimals; the columns are those of the first row."""
    columns = list(next(iter(rows.values())))
    cells = [[name, *(f"{values[key]:.3f}" for key in columns)] for name, values in rows.items()]
    return "\n".join(align([[corner, *columns], *cells], left=1))
