"""The option ``isa``: an instruction set by name."""

from __future__ import annotations

from lpn_core._scalars import check_text


def isa_name(isa: str | None) -> str:
    """What the engine calls it: None is "auto", the best one of this CPU (or LPN_ISA)."""
    return "auto" if isa is None else check_text(isa, "isa")
