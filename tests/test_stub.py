"""The stub of the compiled module offers what the module does: names, arguments and types."""

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


def _split(text: str) -> list[str]:
    """At its commas outside of brackets."""
    depth, parts, current = 0, [], ""
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [part for part in (*parts, current.strip()) if part]


# What pybind11 writes of a type, in the words of the stub; the stub says more of arrays and words,
# which are checked inside the functions.
_PLAIN = (
    (r"typing\.SupportsInt( \| typing\.SupportsIndex)?", "int"),
    (r"typing\.SupportsFloat( \| typing\.SupportsIndex)?", "float"),
    (r"numpy\.typing\.NDArray", "NDArray"),
    (r"numpy\.ndarray", "NDArray[...]"),
    (r"(numpy\.)(?=float|uint)", "np."),
    (r"collections\.abc\.", ""),
    (r"lpn_core\._core\.", ""),
)
# Words, and Python's own containers, of which the extension knows no parts.
_WORDS = ("Activation", "BoxFormat", "Layout")
_OPEN = {"tuple", "list", "dict", "object"}


def _agrees(actual: str, stub: str) -> bool:
    """Whether a type as pybind11 writes it is the stub's."""
    for pattern, word in _PLAIN:
        actual = re.sub(pattern, word, actual)
    if actual in _OPEN:
        return actual == "object" or stub.startswith(f"{actual}[")
    stub = re.sub("|".join(_WORDS), "str", stub)
    if "NDArray[...]" in actual:
        stub = re.sub(r"NDArray\[[\w.]+\]", "NDArray[...]", stub)
    return actual == stub


def _signature(function: object) -> tuple[list[tuple[str, str, str]], str] | None:
    """(name, type, default) of the parameters, and what comes back.

    From the line that pybind11 writes into the docstring.
    """
    line = (inspect.getdoc(function) or "").split("\n")[0]
    match = re.match(r"\w+\((.*)\) -> (.*)$", line)
    if match is None:
        return None
    parameters = []
    for part in _split(match[1]):
        name, _, rest = part.partition(":")
        kind, _, default = rest.partition(" = ")
        parameters.append((name, kind.strip(), default))
    return parameters, match[2]


def _stub_signature(node: ast.FunctionDef) -> tuple[list[tuple[str, str, str]], str]:
    assert not node.args.kwonlyargs
    assert not node.args.posonlyargs
    given = node.args.args
    defaults = [""] * (len(given) - len(node.args.defaults))
    defaults += [ast.unparse(value) for value in node.args.defaults]
    parameters = [
        (argument.arg, ast.unparse(argument.annotation) if argument.annotation else "", default)
        for argument, default in zip(given, defaults, strict=True)
    ]
    assert node.returns is not None
    return parameters, ast.unparse(node.returns)


def _differences(where: str, node: ast.FunctionDef, function: object) -> Iterator[str]:
    actual, stub = _signature(function), _stub_signature(node)
    if actual is None:
        yield f"{where} has no signature in its docstring"
        return
    names = [[(name, default) for name, _, default in part[0]] for part in (actual, stub)]
    if names[0] != names[1]:
        yield f"{where} takes {names[0]}, the stub says {names[1]}"
        return
    kinds = [
        (name, kind, said)
        for (name, kind, _), (_, said, _) in zip(actual[0], stub[0], strict=True)
        if name != "self"
    ]
    for name, kind, said in [*kinds, ("the result", actual[1], stub[1])]:
        if not _agrees(kind, said):
            yield f"{where}: {name} is {kind}, the stub says {said}"


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
            else:
                kind = (inspect.getdoc(actual.fget) or "").rpartition("-> ")[2].strip()
                said = _stub_signature(member)[1]
                if not _agrees(kind, said):
                    offenders.append(f"{where} is {kind}, the stub says {said}")
    assert not offenders, "\n".join(offenders)
