"""What an object file of one instruction set may hold: its kernels; and what their bodies may name.

A weak symbol there (an instantiated template, an inline function) could be the copy that the linker
keeps for the whole library, and the library would then need that instruction set everywhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from isa_sets import FEATURES

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "cpp"
SETS = sorted({path.stem.removeprefix("x86_") for path in SOURCES.glob("kernels/*/x86_*.cc")})


def compiler() -> str:
    found = shutil.which(os.environ.get("CXX", "c++"))
    if found is None or shutil.which("nm") is None:
        pytest.skip("no C++ compiler (CXX or c++) or no nm here")
    target = subprocess.run([found, "-dumpmachine"], capture_output=True, text=True, check=True)
    if not target.stdout.startswith("x86_64"):
        pytest.skip(f"the compiler builds for {target.stdout.strip()}, not x86-64")
    return found


@pytest.mark.parametrize("name", SETS)
def test_isa_objects_define_their_kernels_only(name: str, tmp_path: Path) -> None:
    cxx = compiler()
    sources = sorted(SOURCES.glob(f"kernels/*/x86_{name}.cc"))
    assert sources
    flags = [f"-m{feature}" for feature in FEATURES[name]]
    for source in sources:
        target = tmp_path / f"{source.parent.name}.o"
        command = [cxx, "-std=c++17", "-O0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
        command += ["-fno-exceptions"]
        definitions = [*(f"-DLPN_HAVE_{built.upper()}=1" for built in SETS), f"-I{SOURCES}"]
        paths = ["-c", str(source), "-o", str(target)]
        subprocess.run([*command, *definitions, *flags, *paths], check=True)
        nm = subprocess.run(["nm", "-C", str(target)], capture_output=True, text=True, check=True)
        # Address or blanks, type, name. Lower-case types are local, but u is unique, v and w weak.
        symbols = re.findall(r"^\s*[0-9a-f]*\s+([A-Za-z]) (.*)$", nm.stdout, re.MULTILINE)
        shared = [symbol for kind, symbol in symbols if kind in "WVuvw"]
        assert shared == [], f"{source.relative_to(ROOT)} has weak symbols"
        kernels = re.findall(r"\b(\w+)\b", (source.parent / "kernels.inc").read_text())
        defined = {
            symbol.split("(")[0].removeprefix("lpn::") for kind, symbol in symbols if kind in "TDBR"
        }
        assert defined == {kernel for kernel in kernels if kernel.endswith(f"_{name}")}


def test_bodies_name_no_instruction_set() -> None:
    """What a vec_*.h does not offer, that of the next instruction set would have to offer, too."""
    native = re.compile(r"\b(_mm\d*_\w+|__m\d+\w*|v\w+q_[fsu]\d+|\w+intrin|arm_neon|LPN_HAVE\w*)\b")
    bodies = {path: path.read_text(encoding="utf-8") for path in SOURCES.rglob("*-inl.h")}
    assert bodies
    found = {path.name: native.findall(text) for path, text in bodies.items()}
    assert {name: names for name, names in found.items() if names} == {}
