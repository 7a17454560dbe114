"""The named sets of CPU features, read from the list that the engine and CMake read."""

from __future__ import annotations

import re
from pathlib import Path

_LIST = Path(__file__).resolve().parents[1] / "src" / "cpp" / "base" / "isa_sets.inc"
_ROW = re.compile(r"^LPN_ISA_SET\((\w+), (\w+), (\w+), (\w+),\s+([^)]*)\)$", re.MULTILINE)


def _read() -> tuple[dict[str, str], dict[str, list[str]]]:
    constants: dict[str, str] = {}
    features: dict[str, list[str]] = {"0": []}
    for constant, name, _, extends, own in _ROW.findall(_LIST.read_text(encoding="utf-8")):
        constants[constant] = name
        named = [feature.lower() for feature in re.findall(r"Feature::k(\w+)", own)]
        features[name] = features[constants.get(extends, extends)] + named
    del features["0"]
    return constants, features


NAMES, FEATURES = _read()
"""The name of each constant (kAvx2), and the features of each name, spelled as compilers' flags."""


def file_of(name: str) -> str:
    """The file of an operator's folder that holds its kernels for one set."""
    if name == "scalar":
        return "scalar.cc"
    return f"{'arm' if name.startswith('neon') else 'x86'}_{name}.cc"
