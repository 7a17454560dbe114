"""The Python files' arrows: no circle among them, and rooms of lpn_core import only lower ones."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (ROOT / "python" / "lpn_core", ROOT / "training" / "lpn_training")
# Folders and files of lpn_core, floor by floor; those of one floor do not know each other. The
# upper two are the names that users import, which nothing inside does.
FLOORS = (
    ("_types",),
    ("_core", "_command", "_files", "_json", "_records", "_signals", "_text"),
    ("_checks",),
    ("keypoints",),
    ("model",),
    ("image",),
    ("convert", "ops", "poses"),
    ("evaluation",),
    ("estimator", "quantization"),
    ("cli",),
    ("architectures", "flip", "model_file", "preprocess"),
    ("__init__", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def _imports() -> dict[str, set[str]]:
    """By module what it imports of ours: on loading, inside a function or for types alike.

    ``from package import module`` is an import of the module; that ``package.__init__`` runs before
    does not count, as it does so before each of the package's own files.
    """
    files = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts): path
        for package in PACKAGES
        for path in [*package.rglob("*.py"), *package.glob("*.pyi")]
    }
    names = {name.removesuffix(".__init__"): name for name in files}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: a relative import"
                assert node.module
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {part if part in names else node.module for part in parts}
        graph[name] = {names[other] for other in found if other in names}
    return graph


def test_python_files_import_each_other_in_no_circle() -> None:
    graph = _imports()
    assert len(graph) > 100, "where are the sources?"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_rooms_import_only_lower_ones() -> None:
    offenders = []
    for name, imported in _imports().items():
        for other in imported:
            package, room = name.split(".")[:2]
            other_package, other_room = other.split(".")[:2]
            if package != "lpn_core" or (room == other_room and package == other_package):
                continue
            if other_package != package or FLOOR[other_room] >= FLOOR[room]:
                offenders.append(f"{name} imports {other}")
    assert not offenders, "\n".join(["", *sorted(offenders)])
