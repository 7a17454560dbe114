"""Runs that go on with another number of steps in an epoch, or with validation from now on."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.checkpoint import load_checkpoint, write_whole  # noqa: E402
from lpn_training.config import load_config  # noqa: E402
from lpn_training.resuming import resumed_position  # noqa: E402
from lpn_training.schedule import Schedule  # noqa: E402
from lpn_training.train import Trainer, fit  # noqa: E402
from training_runs import CONFIGS, one_thread, synthetic_shard, tiny_config  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


@pytest.mark.parametrize("now", [3, 7, 14, 1000])
def test_a_position_stays_at_its_epoch(now: int, caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(CONFIGS / "recipe-coco.toml")
    before, after = Schedule(config.schedule, 7), Schedule(config.schedule, now)
    for stage in (0, 1):
        position = before.begin(stage)
        while not before.finished(position):
            position = before.advance(position, 0.5)
            content = {"position": asdict(position), "progress": before.progress(position)}
            moved = resumed_position(content, config, after)
            assert (moved.stage, moved.seconds) == (position.stage, position.seconds)
            assert abs(moved.step / now - position.step / 7) <= 0.5 / now
            if position.step % 7 == 0:
                assert moved.step * 7 == position.step * now
                assert after.factor(moved) == before.factor(position)
    assert bool(caplog.records) is (now != 7)


def test_a_position_without_epochs_stays(caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(CONFIGS / "lpn50-gc-cpu.toml")
    position = {"stage": 0, "step": 70, "seconds": 100.0}
    content = {"position": position, "progress": 100 / 3600}
    assert asdict(resumed_position(content, config, Schedule(config.schedule, 3))) == position
    assert not caplog.records


def test_smaller_batches_do_not_shift_the_schedule(
    shard: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight crops: an epoch is two batches of four, or four of two."""
    fit(tiny_config(shard, validate=False), tmp_path, max_seconds=1e-6)
    assert load_checkpoint(tmp_path / "last.pt")["position"]["step"] == 1
    trainer = Trainer(tiny_config(shard, "train.batch_size=2", validate=False), tmp_path)
    with caplog.at_level(logging.WARNING):
        trainer.resume(tmp_path / "last.pt")
    assert (trainer.position.step, trainer.step) == (2, 1)
    assert "the run goes on at epoch 0.500, step 2 of its schedule instead of 1" in caplog.text


@pytest.mark.parametrize("earlier_version", [False, True])
def test_any_ap_beats_weights_without_validation(
    shard: Path, tmp_path: Path, earlier_version: bool
) -> None:
    begin = ("schedule.epochs=1", "schedule.restart_epoch=0")
    fit(tiny_config(shard, *begin, validate=False), tmp_path)
    content = load_checkpoint(tmp_path / "last.pt")
    assert content["best"] == {"score": -math.inf, "stage": 1, "step": 4}
    if earlier_version:
        content["best"]["score"] = 1.0
        write_whole(tmp_path / "last.pt", content)
    config = tiny_config(shard, *begin, "schedule.stages=3")
    trainer = fit(config, tmp_path, resume=tmp_path / "last.pt")
    assert trainer.best["stage"] == 2
    assert 0 <= trainer.best["score"] <= 1
    assert [record["improved"] for record in trainer.stages] == [True, True, True]
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 6
