"""The rules of the tree as tests: arrows between layers, ISA files, stub and module in step."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lpn_core._core as _core
import pytest

ROOT = Path(__file__).resolve().parents[1]
CPP = ROOT / "src" / "cpp"
KERNELS = CPP / "kernels"
PACKAGE = ROOT / "python" / "lpn_core"
TRAINING = ROOT / "training" / "lpn_training"

LAYERS = ("base", "simd", "kernels", "engine", "bindings")
OPERATORS = sorted(folder.name for folder in KERNELS.iterdir() if folder.is_dir())
ISA_FILES = sorted(
    path
    for folder in OPERATORS
    for pattern in ("scalar.cc", "x86_*.cc", "arm_*.cc")
    for path in (KERNELS / folder).glob(pattern)
)
C_HEADERS = {
    "stdint.h", "stddef.h", "math.h", "string.h", "float.h", "cstdint", "cstddef",
    "immintrin.h", "arm_neon.h",
}  # fmt: skip


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


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


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=_relative)
def test_lpn_core_imports_little(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    eager = set(_imports(tree, lazy=False)) - set(sys.stdlib_module_names)
    lazily = set(_imports(tree, lazy=True)) - set(sys.stdlib_module_names)
    in_cli = path.parent.name == "cli"
    assert eager <= {"numpy", "lpn_core"} | ({"PIL", "click", "tqdm"} if in_cli else set())
    assert "lpn_training" not in eager | lazily
    if "torch" in lazily:
        assert path.stem == "convert", "torch is only read by `lpn convert`"


def test_import_is_light() -> None:
    code = "import lpn_core, sys; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "PIL", "click", "tqdm", "cv2", "pycocotools", "safetensors"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=_relative)
def test_library_does_not_print(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [
        call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.rglob("*.py"), *TRAINING.rglob("*.py")]), ids=_relative
)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        assert not re.search(r"\b[cd]?(cloud)?pickle\.(loads?|Unpickler)$", name), call.lineno
        if name == "torch.load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert options.get("weights_only") == "True", f"line {call.lineno}"


# --- C++ arrows ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", _cpp_files(".h", ".cc", ".inc"), ids=_relative)
def test_includes_point_down(path: Path) -> None:
    parts = path.relative_to(CPP).parts
    layer = parts[0]
    below = LAYERS[: LAYERS.index(layer) + 1]
    for name in _includes(path)[1]:
        target = CPP / name
        assert target.is_file(), f'"{name}" is not a path from src/cpp'
        target_parts = target.relative_to(CPP).parts
        assert target_parts[0] in below, f"{layer} must not include {name}"
        if layer == "kernels" and len(target_parts) > 2 and target_parts[0] == "kernels":
            assert target_parts[1] == parts[1], f"operator {parts[1]} must not include {name}"
    if layer != "bindings":
        assert not [name for name in _includes(path)[0] if name.startswith("pybind11")]


@pytest.mark.parametrize("path", ISA_FILES, ids=_relative)
def test_isa_files_hold_nothing_the_linker_could_share(path: Path) -> None:
    operator = path.parent.name
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, "an ISA file is thin"
    for file in _closure(path):
        angled, _ = _includes(file)
        assert set(angled) <= C_HEADERS, f"{_relative(file)} includes {set(angled) - C_HEADERS}"
        parts = file.relative_to(CPP).parts
        shared = parts[0] == "kernels" and len(parts) == 2
        own = parts[:2] == ("kernels", operator)
        assert parts[0] == "simd" or parts == ("base", "isa.h") or shared or own, _relative(file)
        text = _without_comments(file.read_text(encoding="utf-8"))
        foreign = re.findall(r"std::(?!u?int\d+_t\b|size_t\b|ptrdiff_t\b)\w+", text)
        assert not foreign, f"{_relative(file)} uses {foreign}"


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
    """(function, tier) of an operator's kernels.inc, in order."""
    text = _without_comments((KERNELS / operator / "kernels.inc").read_text(encoding="utf-8"))
    result = []
    for arguments in re.findall(r"LPN_KERNEL\(([^)]*)\)", text):
        *functions, tier = [part.strip() for part in arguments.split(",")]
        result += [(function, tier.removeprefix("k").lower()) for function in functions]
    return result


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_folder_is_complete(operator: str) -> None:
    present = {path.name for path in (KERNELS / operator).iterdir()}
    wanted = {f"{operator}.h", f"{operator}.cc", "kernels.inc", "scalar.cc"}
    wanted |= {"x86_avx2.cc", "x86_avx512.cc"}
    assert wanted <= present
    assert f"{operator}-inl.h" in present, "the body is written once"
    for name in present - wanted:
        assert name.endswith(("-inl.h", ".h")) or name == "arm_neon.cc", f"unexpected {name}"


@pytest.mark.parametrize("operator", OPERATORS)
def test_registered_variants_are_defined_in_their_own_file(operator: str) -> None:
    files = {"scalar": "scalar.cc", "avx2": "x86_avx2.cc", "avx512": "x86_avx512.cc",
             "neon": "arm_neon.cc"}  # fmt: skip
    variants = _registered(operator)
    assert variants
    assert variants[-1][1] == "scalar", "tables end with scalar"
    for function, tier in variants:
        assert function.endswith(f"_{tier}")
        text = (KERNELS / operator / files[tier]).read_text(encoding="utf-8")
        assert re.search(rf"\b{function}\s*\(", text), f"{files[tier]} does not define {function}"


def test_module_lists_every_registered_variant() -> None:
    listed = {variant for variants in _core.kernels().values() for variant in variants}
    registered = {variant for operator in OPERATORS for variant in _registered(operator)}
    tiers = {tier for _, tier in listed}
    assert "scalar" in tiers
    assert set(_core.supported_isas()) <= tiers
    assert listed == {(name, tier) for name, tier in registered if tier in tiers}


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_has_a_cpp_test(operator: str) -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "cpp").glob("*.cc"))
    )
    assert f'#include "kernels/{operator}/{operator}.h"' in tests
    assert f"select_{operator}(" in tests


# --- Stub and module -------------------------------------------------------------------------

STUB = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))


def _stub_names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def _is_offered(name: str) -> bool:
    return not name.startswith("_") or name in ("__init__", "__version__")


def _arguments(function: object) -> list[str] | None:
    """Parameter names from the signature line that pybind11 writes into the docstring."""
    line = (inspect.getdoc(function) or "").split("\n")[0]
    match = re.match(r"\w+\((.*)\)(?: -> .*)?$", line)
    if match is None:
        return None
    depth, names, current = 0, [], ""
    for letter in match[1] + ",":
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            names.append(current.split(":")[0].split("=")[0].strip())
            current = ""
        else:
            current += letter
    return [name for name in names if name and name not in ("*", "/")]


def _stub_arguments(node: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def _check_function(where: str, node: ast.FunctionDef, function: object) -> None:
    actual = _arguments(function)
    assert actual is not None, f"{where} has no signature in its docstring"
    assert actual == _stub_arguments(node), where


def test_stub_names_what_the_module_offers() -> None:
    stub = _stub_names(STUB.body)
    assert {name for name in dir(_core) if _is_offered(name) and name != "__init__"} == set(stub)
    for name, node in stub.items():
        value = getattr(_core, name)
        if isinstance(node, ast.ClassDef):
            assert inspect.isclass(value), name
        elif isinstance(node, ast.FunctionDef):
            assert callable(value), name
            _check_function(name, node, value)


@pytest.mark.parametrize(
    "node", [n for n in STUB.body if isinstance(n, ast.ClassDef)], ids=lambda node: str(node.name)
)
def test_stub_classes_have_the_members_of_the_module(node: ast.ClassDef) -> None:
    cls = getattr(_core, node.name)
    stub = _stub_names(node.body)
    offered = {name for name in vars(cls) if _is_offered(name)}
    assert offered == set(stub)
    for name, member in stub.items():
        assert isinstance(member, ast.FunctionDef)
        decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
        actual = inspect.getattr_static(cls, name)
        assert isinstance(actual, property) == ("property" in decorators), name
        if "property" not in decorators:
            _check_function(f"{node.name}.{name}", member, actual)


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


def test_files_are_short_and_finished() -> None:
    long, unfinished = [], []
    marker = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            long.append(_relative(path))
        if marker.search(text):
            unfinished.append(_relative(path))
    assert not long, "over 400 lines: split them"
    assert not unfinished


@pytest.mark.parametrize("path", _cpp_files(".h"), ids=_relative)
def test_headers_are_guarded(path: Path) -> None:
    assert re.search(r"^#pragma once$", path.read_text(encoding="utf-8"), re.MULTILINE)
