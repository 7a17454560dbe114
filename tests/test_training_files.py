"""What a run leaves behind: its logs, its checkpoints, and what is not one."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.checkpoint import (  # noqa: E402
    RESUMABLE,
    load_checkpoint,
    load_resumable,
    write_text,
    write_whole,
)
from lpn_training.runlog import RunLog, read_log  # noqa: E402
from training_runs import file_limit  # noqa: E402


def entry(step: int) -> dict[str, Any]:
    return {"step": step, "stage": 0, "label": step / 2}


def test_log_drops_what_a_lost_run_wrote_later(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(entry(step))
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 4, "sta')
    RunLog(tmp_path, 2).write(entry(3))
    assert read_log(tmp_path) == [entry(1), entry(2), entry(3)]
    assert (tmp_path / "log.csv").read_text().splitlines()[1:] == [
        "1,0,,,,0.5,,,,,,,,,", "2,0,,,,1.0,,,,,,,,,", "3,0,,,,1.5,,,,,,,,,"
    ]  # fmt: skip
    RunLog(tmp_path, 0)
    assert read_log(tmp_path) == []


def test_tensorboard_gets_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (folder, purge_step) == (str(tmp_path / "tensorboard"), 5)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", math.nan, 0))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    log = RunLog(tmp_path, 5, tensorboard=True)
    log.write(entry(6))
    log.close()
    assert sorted(written)[1:] == [("label", 3.0, 6), ("stage", 0, 6)]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"lpn-training\[tensorboard\]"):
        RunLog(tmp_path, 5, tensorboard=True)


def test_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_whole(path, {"model": {}, "config": {}, "step": 1})
    with pytest.raises(Exception, match=r"pickle|lambda"):
        write_whole(path, {"model": lambda: None})
    assert load_checkpoint(path)["step"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["last.pt"]


def test_full_disk_names_the_checkpoint(tmp_path: Path) -> None:
    """Beyond a limit on file sizes writing fails as on a full disk, here in the middle."""
    path = tmp_path / "last.pt"
    write_whole(path, {"model": {}, "config": {}, "step": 1})
    content = {"model": {"weight": torch.zeros(100_000)}, "config": {}}
    with file_limit(50_000), pytest.raises(OSError, match=r"File too large: '.*last\.pt'"):
        write_whole(path, content)
    assert load_checkpoint(path)["step"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["last.pt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"'.*file/run/last\.pt'"):
        write_whole(tmp_path / "file" / "run" / "last.pt", content)


def test_full_disk_names_the_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    log.write(entry(1))
    with file_limit(50), pytest.raises(OSError, match=r"File too large: '.*log\.jsonl'"):
        log.write(entry(2))


def test_checkpoints_of_earlier_versions_give_their_weights(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    parts: dict[str, Any] = dict.fromkeys(("model", "config", *RESUMABLE))
    for lost in ("stage_best", "rng"):
        write_whole(path, {name: value for name, value in parts.items() if name != lost})
        with pytest.raises(ValueError, match=rf"last\.pt lacks {lost} .* train\.initial=PATH"):
            load_resumable(path, "cpu")
    write_whole(path, parts)
    assert load_resumable(path, "cpu") == parts


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not a training checkpoint"):
        load_checkpoint(path)
    whole = path.read_bytes()
    for content in (b"", b"no checkpoint at all", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights\.pt is not a training checkpoint"):
            load_checkpoint(path)


def test_files_written_at_the_same_time_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that share a cache: the second begins and ends while the first is at it."""
    real = os.fsync
    waiting = ["two" * 1000]

    def meanwhile(descriptor: int) -> None:
        while waiting:
            write_text(tmp_path / "a", waiting.pop())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_text(tmp_path / "a", "one" * 500)
    assert (tmp_path / "a").read_text() == "one" * 500
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
