"""Runs that go on with another number of steps in an epoch, or with validation from now on."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.checkpoint import load_checkpoint, write_whole  # noqa: E402
from lpn_training.config import load_config  # noqa: E402
from lpn_training.resuming import resumed_position  # noqa: E402
from lpn_training.runlog import read_log  # noqa: E402
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


# --- a schedule that is continued without knowing its end ------------------------------------

TRAPEZOID = ("schedule.kind=trapezoid", "schedule.epochs=0", "schedule.stages=1",
             "schedule.restart_epoch=0", "schedule.total_steps=0", "schedule.warmup_steps=2",
             "schedule.final=0.05", "train.validate_epochs=0", "train.validate_every=1000",
             "train.keep_last=2", "train.learning_rate=0.01")  # fmt: skip


def rates(folder: Path) -> dict[int, float]:
    return {entry["step"]: entry["lr"] for entry in read_log(folder) if "lr" in entry}


def steps_of(shard: Path, output: Path, count: int, resume: Path | None = None) -> None:
    """So many steps of the run without an end, which is then interrupted."""
    trainer = Trainer(tiny_config(shard, *TRAPEZOID, validate=False), output)
    if resume is not None:
        trainer.resume(resume)
    last = trainer.step + count
    step = trainer.train_step

    def interrupted() -> torch.Tensor:
        if trainer.step + 1 == last:
            trainer.stop.received = signal.SIGTERM
        return step()

    trainer.train_step = interrupted  # type: ignore[method-assign]
    trainer.run()


def test_a_run_without_an_end_goes_on_at_the_full_rate_and_cools_down_from_anywhere(
    shard: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    steps_of(shard, run, 5)
    assert rates(run) == pytest.approx({1: 1e-5, 2: 5e-3, 3: 0.01, 4: 0.01, 5: 0.01})
    steps_of(shard, run, 3, run / "last.pt")
    assert [rates(run)[step] for step in (6, 7, 8)] == pytest.approx([0.01] * 3)
    assert sorted(path.name for path in run.glob("step-*")) == [
        "step-00000006.pt", "step-00000008.pt"
    ]  # fmt: skip
    fall = ("schedule.total_steps=10", "schedule.cooldown_steps=4")
    config = tiny_config(shard, *TRAPEZOID, *fall, validate=False)
    cooled = fit(config, tmp_path / "cooled", resume=run / "step-00000006.pt")
    assert cooled.step == 10
    found = rates(tmp_path / "cooled")
    expected = {7: 1.0, 8: 0.05 + 0.95 * 0.75, 9: 0.05 + 0.95 * 0.5, 10: 0.05 + 0.95 * 0.25}
    assert found == pytest.approx({step: 0.01 * factor for step, factor in expected.items()})
    # The run itself is where it was.
    assert load_checkpoint(run / "last.pt")["step"] == 8


def test_the_end_of_a_schedule_is_not_continued_silently(shard: Path, tmp_path: Path) -> None:
    short = (*TRAPEZOID, "schedule.total_steps=3", "schedule.cooldown_steps=1")
    fit(tiny_config(shard, *short, validate=False), tmp_path)
    same = fit(tiny_config(shard, *short, validate=False), tmp_path, resume=tmp_path / "last.pt")
    assert same.step == 3
    longer = tiny_config(shard, *short, "schedule.total_steps=30", validate=False)
    with pytest.raises(ValueError, match=r"has ended.*before its end, which train\.keep_last"):
        fit(longer, tmp_path, resume=tmp_path / "last.pt")
