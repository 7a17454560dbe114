"""What goes into the wheels, and that making one leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("scikit_build_core")

ROOT = Path(__file__).resolve().parents[1]


def _wheel(folder: Path, *options: str) -> set[str]:
    """The names of the files in the wheel that pip makes of a source folder."""
    target = folder.parent / "wheels"
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(target), *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = target.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_training_wheel_is_its_source_and_nothing_older(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    skipped = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "training", folder, ignore=skipped)
    # What builds by setuptools left, from which later wheels were made.
    for stale in ("build/lib/lpn_training/gone.py", "lpn_training/__pycache__/gone.pyc"):
        (folder / stale).parent.mkdir(parents=True, exist_ok=True)
        (folder / stale).touch()
    before = _files(folder)
    packed = _wheel(folder)
    assert _files(folder) == before
    modules = {name for name in packed if name.startswith("lpn_training/")}
    assert modules == {
        name for name in before if name.startswith("lpn_training/") and "__pycache__" not in name
    }


def test_the_wheel_has_its_data_and_no_module_of_a_developer(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CMakeLists.txt", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    skipped = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "python", folder / "python", ignore=skipped)
    before = _files(folder)
    (folder / "python" / "lpn_core" / "_core.cpython-311-x86_64-linux-gnu.so").touch()
    # Without the compiled module, which takes minutes and is CMake's matter.
    packed = _wheel(folder, "--config-settings=wheel.cmake=false")
    modules = {f"python/{name}" for name in packed if name.startswith("lpn_core/")}
    assert modules == {name for name in before if name.startswith("python/")}
    assert "lpn_core/py.typed" in packed
