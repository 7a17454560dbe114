"""The fuzz targets for a moment, blindly; tests/fuzz/README.md says how to run them in earnest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"


def test_loader_of_model_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(FUZZ), *sys.path])
    from model_file_target import any_checksum, run_blindly

    reports: list[str] = []
    with any_checksum():
        run_blindly(2000, seed=1, report=reports.append)
    # Otherwise the mutations are so rough, or the checks so strict, that nothing gets far.
    assert "'run': " in reports[-1]
    assert "'read': " in reports[-1]
