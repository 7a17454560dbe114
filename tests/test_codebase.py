"""The rules of the tree, one test each: arrows between layers, ISA files, operators, files.

A failing rule lists every place that breaks it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lpn_core._core as _core
from isa_sets import FEATURES, NAMES, file_of

ROOT = Path(__file__).resolve().parents[1]
CPP = ROOT / "src" / "cpp"
KERNELS = CPP / "kernels"
PACKAGE = ROOT / "python" / "lpn_core"
TRAINING = ROOT / "training" / "lpn_training"

LAYERS = ("base", "simd", "kernels", "engine", "pose", "bindings")
OPERATORS = sorted(folder.name for folder in KERNELS.iterdir() if folder.is_dir())
ISA_FILES = sorted(
    path
    for folder in OPERATORS
    for pattern in ("scalar.cc", "x86_*.cc", "arm_*.cc")
    for path in (KERNELS / folder).glob(pattern)
)
ISA_HEADERS = (("base", "bfloat16.h"), ("base", "isa.h"), ("base", "isa_sets.inc"))
# Types that kernels.inc names first where there are kernels for several.
ELEMENTS = {"float", "Bfloat16", "std::uint8_t"}
GENERATED = {"engine/ops/node_kinds.inc"}  # by CMakeLists.txt
C_HEADERS = {
    "stdint.h", "stddef.h", "assert.h", "math.h", "string.h", "float.h", "cstdint", "cstddef",
    "immintrin.h", "arm_neon.h",
}  # fmt: skip


PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _listed(offenders: list[str]) -> str:
    return "\n".join(["", *offenders])


def _calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in a Python file: where it stands, what it calls and the node."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield f"{_relative(path)}:{node.lineno}", ast.unparse(node.func), node


def _cpp_files(*suffixes: str) -> list[Path]:
    return sorted(path for path in CPP.rglob("*") if path.suffix in suffixes)


def _includes(path: Path) -> tuple[list[str], list[str]]:
    """The angle-bracket and the quoted includes of one C++ file."""
    text = path.read_text(encoding="utf-8")
    return (
        re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.MULTILINE),
        re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.MULTILINE),
    )


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def _closure(path: Path) -> list[Path]:
    """The file and everything of ours that it includes, directly or not."""
    seen: list[Path] = []
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.append(current)
            waiting += [CPP / name for name in _includes(current)[1]]
    return seen


def _imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Top names of absolute imports: run on import, or with ``lazy`` inside functions."""
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in typing_only or (node in inside) != lazy:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


# --- Python arrows ---------------------------------------------------------------------------


def test_lpn_core_imports_little() -> None:
    offenders = []
    for path in PYTHON_FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        eager = set(_imports(tree, lazy=False)) - set(sys.stdlib_module_names)
        lazily = set(_imports(tree, lazy=True)) - set(sys.stdlib_module_names)
        in_cli = path.parent.name == "cli"
        allowed = {"numpy", "lpn_core"} | ({"PIL", "click", "tqdm"} if in_cli else set())
        in_convert = path.parent.name == "convert"
        forbidden = {"lpn_training"} | (set() if in_convert else {"torch"})
        names = (eager - allowed) | ((eager | lazily) & forbidden)
        offenders += [f"{_relative(path)} imports {name}" for name in sorted(names)]
    assert not offenders, _listed(offenders)


def test_import_loads_nothing_else() -> None:
    code = "import numpy, sys\nbefore = set(sys.modules)\nimport lpn_core\nlpn_core.load\n"
    code += "print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    # Each takes its part of the first milliseconds of every program: more is imported where it is
    # used. Other Pythons and NumPys load some of the standard library's themselves.
    ours = {name for name in loaded if name.partition(".")[0] == "lpn_core"}
    assert ours == {
        f"lpn_core{name}"
        for name in (
            "", "._checks", "._core", "._json", "._records", "._text", ".estimator", ".image",
            ".image.decode", ".image.draw", ".image.file", ".image.load", ".image.regions",
            ".keypoints", ".model", ".model.document", ".model.file", ".model.graph",
            ".model.model", ".model.safetensors", ".model.spec", ".poses",
        )
    }  # fmt: skip
    assert loaded - ours <= {
        "__future__", "_json", "json", "json.decoder", "json.encoder", "json.scanner",
    }  # fmt: skip


def test_library_does_not_print() -> None:
    offenders = [
        where for path in PYTHON_FILES for where, name, _ in _calls(path) if name == "print"
    ]
    assert not offenders, _listed(offenders)


def test_nothing_is_unpickled() -> None:
    offenders = []
    for path in [*PYTHON_FILES, *sorted(TRAINING.rglob("*.py"))]:
        for where, name, call in _calls(path):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            unsafe = name == "torch.load" and options.get("weights_only") != "True"
            if unsafe or re.search(r"\b[cd]?(cloud)?pickle\.(loads?|Unpickler)$", name):
                offenders.append(f"{where} calls {name}")
    assert not offenders, _listed(offenders)


# --- C++ arrows ------------------------------------------------------------------------------


_PYTHON = re.compile(r"pybind11/|numpy/|Python\.h|py\w+\.h$")


def _is_systems(header: str) -> bool:
    """Whether it belongs to neither C, C++, the compiler nor Python: POSIX, Windows."""
    named_as_theirs = header.endswith(".h") or "/" in header
    return named_as_theirs and header not in C_HEADERS and _PYTHON.match(header) is None


def _forbidden_includes(path: Path) -> Iterator[str]:
    parts = path.relative_to(CPP).parts
    layer = parts[0]
    below = LAYERS[: LAYERS.index(layer) + 1]
    angled, quoted = _includes(path)
    for name in sorted(set(quoted) - GENERATED):
        target = CPP / name
        if not target.is_file():
            yield f'"{name}", which is not a path from src/cpp'
            continue
        target_parts = target.relative_to(CPP).parts
        of_operator = len(target_parts) > 2 and target_parts[0] == "kernels"
        if target_parts[0] not in below:
            yield f'"{name}" of a layer above {layer}'
        elif layer == "kernels" and of_operator and target_parts[1] != parts[1]:
            yield f'"{name}" of another operator'
    if layer != "bindings":
        yield from (f"<{name}> outside bindings" for name in angled if _PYTHON.match(name))
    if layer != "base":
        yield from (f"<{name}> of the system outside base" for name in angled if _is_systems(name))


def test_includes_point_down() -> None:
    files = _cpp_files(".h", ".cc", ".inc")
    assert len(files) > 100, "where are the sources?"
    offenders = [
        f"{_relative(path)} includes {what}" for path in files for what in _forbidden_includes(path)
    ]
    assert not offenders, _listed(offenders)


def _shared_by_the_linker(path: Path) -> Iterator[str]:
    """What an ISA file or anything that it includes holds beyond its own operator."""
    operator = path.parent.name
    if len(path.read_text(encoding="utf-8").splitlines()) > 40:
        yield "has over 40 lines: an ISA file is thin"
    for file in _closure(path):
        parts = file.relative_to(CPP).parts
        shared = parts[0] == "kernels" and len(parts) == 2
        own = parts[:2] == ("kernels", operator)
        if not (parts[0] == "simd" or parts in ISA_HEADERS or shared or own):
            yield f"includes {_relative(file)}"
        foreign = sorted(set(_includes(file)[0]) - C_HEADERS)
        text = _without_comments(file.read_text(encoding="utf-8"))
        foreign += re.findall(r"std::(?!u?int\d+_t\b|size_t\b|ptrdiff_t\b)\w+", text)
        yield from (f"has {name} in {_relative(file)}" for name in foreign)


def test_isa_files_hold_nothing_the_linker_could_share() -> None:
    assert len(ISA_FILES) >= 3 * len(OPERATORS)
    offenders = [
        f"{_relative(path)} {what}" for path in ISA_FILES for what in _shared_by_the_linker(path)
    ]
    assert not offenders, _listed(offenders)


def test_machine_flags_live_in_one_file() -> None:
    flag = re.compile(r"(?<![\w-])-m(arch|tune|cpu|avx|sse|fma|f16c|bmi|fpu)[\w=.+-]*")
    pattern = ("CMakeLists.txt", "CMakePresets.json", "pyproject.toml", "*.cmake")
    files = {path for name in pattern for base in (ROOT, ROOT / "src", ROOT / "tests")
             for path in (base.glob(name) if base == ROOT else base.rglob(name))}  # fmt: skip
    assert ROOT / "CMakeLists.txt" in files
    holders = {_relative(path) for path in files if flag.search(path.read_text(encoding="utf-8"))}
    assert holders == {"src/cpp/cmake/isa.cmake"}


def test_module_file_is_short() -> None:
    assert len((CPP / "bindings" / "module.cc").read_text(encoding="utf-8").splitlines()) < 40


# --- Operators -------------------------------------------------------------------------------


def _registered(operator: str) -> list[tuple[str, str]]:
    """(function, set of features) of an operator's kernels.inc, in order."""
    text = _without_comments((KERNELS / operator / "kernels.inc").read_text(encoding="utf-8"))
    result = []
    for arguments in re.findall(r"LPN_KERNEL\(([^)]*)\)", text):
        parts = [part.strip() for part in arguments.split(",")]
        parts = [part for part in parts if part not in ELEMENTS]
        at = next(place for place, part in enumerate(parts) if part in NAMES)
        result += [(function, NAMES[parts[at]]) for function in parts[:at]]
    return result


def test_operator_folders_are_complete() -> None:
    offenders = []
    for operator in OPERATORS:
        present = {path.name for path in (KERNELS / operator).iterdir()}
        wanted = {f"{operator}.h", f"{operator}.cc", f"{operator}-inl.h", "kernels.inc"}
        wanted |= {"scalar.cc", "x86_avx2.cc", "x86_avx512.cc"}
        offenders += [f"{operator} lacks {name}" for name in sorted(wanted - present)]
        offenders += [
            f"{operator} has {name}"
            for name in sorted(present - wanted)
            if not (name.endswith(".h") or name in map(file_of, FEATURES))
        ]
    assert not offenders, _listed(offenders)


def test_registered_variants_are_defined_in_their_own_file() -> None:
    offenders = []
    for operator in OPERATORS:
        variants = _registered(operator)
        if not variants or variants[-1][1] != "scalar":
            offenders.append(f"the table of {operator} does not end with scalar")
        for function, tier in variants:
            text = (KERNELS / operator / file_of(tier)).read_text(encoding="utf-8")
            if not function.endswith(f"_{tier}"):
                offenders.append(f"{function} of {operator} is listed as {tier}")
            if not re.search(rf"\b{function}\s*\(", text):
                offenders.append(f"{operator}/{file_of(tier)} does not define {function}")
    assert not offenders, _listed(offenders)


def test_module_lists_every_registered_variant() -> None:
    listed = {variant for variants in _core.kernels().values() for variant in variants}
    registered = {variant for operator in OPERATORS for variant in _registered(operator)}
    tiers = {tier for _, tier in listed}
    assert "scalar" in tiers
    assert set(_core.supported_isas()) <= tiers
    assert listed == {(name, tier) for name, tier in registered if tier in tiers}


def test_operators_have_a_cpp_test() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "cpp").glob("*.cc"))
    )
    offenders = [
        operator
        for operator in OPERATORS
        if f'#include "kernels/{operator}/{operator}.h"' not in tests
        or f'#include "kernels/{operator}/kernels.inc"' not in tests
        or not re.search(rf"\bselect_{operator}\b[(<]", tests)
    ]
    assert not offenders, _listed(offenders)


def test_bindings_share_out_no_work() -> None:
    """Loops over threads belong to the layers below, which C++ can call as well."""
    offenders = [
        _relative(path)
        for path in sorted((CPP / "bindings").iterdir())
        if "parallel_for" in _without_comments(path.read_text(encoding="utf-8"))
    ]
    assert not offenders, _listed(offenders)


def test_bindings_give_up_the_gil_in_one_way() -> None:
    """A daemon thread that comes back while the interpreter finalizes survives only WithoutGil."""
    others = re.compile(r"gil_scoped_release|PyEval_(Save|Restore|Acquire|Release)|ALLOW_THREADS")
    bindings = (CPP / "bindings").iterdir()
    found = [path for path in bindings if others.search(_without_comments(path.read_text("utf-8")))]
    assert {path.stem for path in found} == {"without_gil"}


# --- Files -----------------------------------------------------------------------------------


def _sources() -> list[Path]:
    folders = [ROOT / name for name in ("src", "python", "training", "tests", "bench")]
    suffixes = {".py", ".pyi", ".h", ".cc", ".inc", ".cmake", ".txt"}
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in suffixes and "build" not in path.parts
    )


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _sources()}
    offenders = [f"{_relative(path)}: {count}" for path, count in lengths.items() if count > 400]
    assert not offenders, _listed(["over 400 lines, split them:", *offenders])


def test_files_are_finished() -> None:
    marker = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    offenders = [
        _relative(path) for path in _sources() if marker.search(path.read_text(encoding="utf-8"))
    ]
    assert not offenders, _listed(offenders)


def test_headers_are_guarded() -> None:
    guard = re.compile(r"^#pragma once$", re.MULTILINE)
    offenders = [
        _relative(path)
        for path in _cpp_files(".h")
        if not guard.search(path.read_text(encoding="utf-8"))
    ]
    assert not offenders, _listed(offenders)


def test_random_numbers_of_tests_have_a_seed() -> None:
    """A failure that hangs on a draw can be repeated; conftest.py seeds PyTorch's generator."""
    unseeded = re.compile(
        r"default_rng\(\)|RandomState\(\)|SeedSequence\(\)|random_devic"
        r"e|mt19937(_64)? \w+;"
        r"|\bnp\.random\.(?!default_rng|Generator|SeedSequence)\w+\(|^\s*import rando"
        r"m\b"
    )
    folders = (ROOT / "tests", ROOT / "bench")
    offenders = [
        f"{_relative(path)}:{number}"
        for path in _sources()
        if any(folder in path.parents for folder in folders)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if unseeded.search(line)
    ]
    assert not offenders, _listed(offenders)
