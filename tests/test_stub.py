"""The stub of the compiled module names what the module offers, with the same arguments."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import lpn_core._core as _core

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "lpn_core"
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


def _differences(where: str, node: ast.FunctionDef, function: object) -> Iterator[str]:
    actual = _arguments(function)
    if actual is None:
        yield f"{where} has no signature in its docstring"
    elif actual != _stub_arguments(node):
        yield f"{where} takes {actual}, the stub says {_stub_arguments(node)}"


def test_stub_names_what_the_module_offers() -> None:
    stub = _stub_names(STUB.body)
    assert {name for name in dir(_core) if _is_offered(name) and name != "__init__"} == set(stub)
    offenders = []
    for name, node in stub.items():
        value = getattr(_core, name)
        if isinstance(node, ast.ClassDef) != inspect.isclass(value):
            offenders.append(f"{name} is {value!r}")
        elif isinstance(node, ast.FunctionDef):
            offenders += _differences(name, node, value)
    assert not offenders, "\n".join(offenders)


def test_stub_classes_have_the_members_of_the_module() -> None:
    offenders = []
    for node in STUB.body:
        if not isinstance(node, ast.ClassDef):
            continue
        cls = getattr(_core, node.name)
        stub = _stub_names(node.body)
        offered = {name for name in vars(cls) if _is_offered(name)}
        offenders += [
            f"{node.name}.{name} is in one of stub and module"
            for name in sorted(offered ^ set(stub))
        ]
        for name in sorted(offered & set(stub)):
            member, where = stub[name], f"{node.name}.{name}"
            assert isinstance(member, ast.FunctionDef), where
            is_property = "property" in [ast.unparse(one) for one in member.decorator_list]
            actual = inspect.getattr_static(cls, name)
            if isinstance(actual, property) != is_property:
                offenders.append(f"{where} is a property in one of stub and module")
            elif not is_property:
                offenders += _differences(where, member, actual)
    assert not offenders, "\n".join(offenders)
