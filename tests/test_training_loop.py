"""The loop on synthetic shards: learning, stages, exact resume, interruptions."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")

from lpn_training.checkpoint import averaged_weights, load_checkpoint, write_whole  # noqa: E402
from lpn_training.config import load_config  # noqa: E402
from lpn_training.runlog import COLUMNS, read_log  # noqa: E402
from lpn_training.tables import stage_table  # noqa: E402
from lpn_training.train import Trainer, fit  # noqa: E402
from training_runs import (  # noqa: E402
    CONFIGS,
    ONE_THREAD,
    one_thread,
    synthetic_shard,
    tiny_config,
    tiny_overrides,
)

ONE_STAGE = ("schedule.stages=1", "schedule.restart_epoch=0")
PLAIN = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
         "augment.mirror_probability=0.0")  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


def assert_same_run(one: Path, two: Path) -> None:
    """Every number of two checkpoints agrees, bit for bit."""

    def compare(a: Any, b: Any, where: str) -> None:
        assert type(a) is type(b), where
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), where
        elif isinstance(a, dict):
            assert a.keys() == b.keys(), where
            for key in a:
                compare(a[key], b[key], f"{where}.{key}")
        elif isinstance(a, (list, tuple)):
            assert len(a) == len(b), where
            for index, (x, y) in enumerate(zip(a, b, strict=True)):
                compare(x, y, f"{where}[{index}]")
        else:
            assert a == b, where

    left, right = load_checkpoint(one), load_checkpoint(two)
    for content in (left, right):
        # Wall-clock time is no part of a run that is measured in epochs.
        content["position"]["seconds"] = 0.0
    compare(left, right, "")


def steps_logged(folder: Path) -> int:
    entries = read_log(folder) if (folder / "log.jsonl").exists() else []
    return entries[-1]["step"] if entries else 0


# --- learning and stages ---------------------------------------------------------------------


def test_fit_learns_and_logs(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(
        shard, *PLAIN, *ONE_STAGE, 'schedule.kind="cosine"', "schedule.epochs=6",
        "train.validate_epochs=6",
    )  # fmt: skip
    trainer = fit(config, tmp_path)
    entries = read_log(tmp_path)
    losses = [entry["label"] for entry in entries if "label" in entry]
    assert trainer.step == 12
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    scores = [entry for entry in entries if "ap" in entry]
    assert [entry["step"] for entry in scores] == [12]
    assert 0 <= scores[0]["ap"] <= 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "log.jsonl", "log.csv", "stages.json", "last.pt", "best.pt", "stage-0.pt"
    }  # fmt: skip
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(entries)
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["label"]) for row in rows if row["label"]] == losses


def test_stages_restart_from_the_best_with_a_fresh_optimiser(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are made up: stage 0 is best at its first validation, stage 1 never improves."""
    scores = iter([0.5, 0.2, 0.3, 0.1, 0.4, 0.45, 0.3])
    trainer = Trainer(tiny_config(shard, "train.learning_rate=0.01"), tmp_path)

    def validate() -> None:
        trainer.keep(next(scores))

    monkeypatch.setattr(trainer, "validate", validate)
    starts: list[tuple[int, dict[str, Any], int, float]] = []
    original = trainer.train_step

    def watched() -> torch.Tensor:
        if not trainer.optimiser.state:
            weights = {key: value.clone() for key, value in trainer.model.state_dict().items()}
            assert trainer.average is not None
            updates = int(trainer.average.n_averaged)
            starts.append((trainer.position.step, weights, updates, trainer.learning_rate))
        return original()

    monkeypatch.setattr(trainer, "train_step", watched)
    trainer.run()
    # Two steps an epoch: the second stage begins at epoch 1 of 4.
    assert [(step, updates, rate) for step, _, updates, rate in starts] == [
        (0, 0, 0.01), (2, 0, 0.01),
    ]  # fmt: skip
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["best"] == {"score": 0.5, "stage": 0, "step": 2}
    for key, value in averaged_weights(best).items():
        assert torch.equal(starts[1][1][key], value), key
    records = json.loads((tmp_path / "stages.json").read_text())
    assert records == [
        {"stage": 0, "steps": 8, "samples": 32, "ap": 0.5, "best_step": 2, "improved": True},
        {"stage": 1, "steps": 14, "samples": 56, "ap": 0.45, "best_step": 12, "improved": False},
    ]
    assert load_checkpoint(tmp_path / "stage-1.pt")["step"] == 12
    assert "| 1 | 56 | 0.4500 | 12 | no" in stage_table(records)
    rates = [(e["stage"], e["lr"]) for e in read_log(tmp_path) if "lr" in e]
    by_hand = [(0, 0.01)] * 4 + [(0, 0.001)] * 2 + [(0, 0.0001)] * 2
    by_hand += [(1, 0.01)] * 2 + [(1, 0.001)] * 2 + [(1, 0.0001)] * 2
    assert [stage for stage, _ in rates] == [stage for stage, _ in by_hand]
    assert [rate for _, rate in rates] == pytest.approx([rate for _, rate in by_hand])


def test_stages_without_validation_hand_the_last_weights_over(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "schedule.epochs=1", "schedule.restart_epoch=0", validate=False)
    trainer = fit(config, tmp_path)
    assert trainer.best == {"score": -math.inf, "stage": 1, "step": 4}
    assert [record["ap"] for record in trainer.stages] == [None, None]
    assert_same_run(tmp_path / "best.pt", tmp_path / "stage-1.pt")


def test_stages_added_to_a_finished_run_begin_from_its_best(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are made up: the first of two validations of the only stage is the best."""
    finished = Trainer(tiny_config(shard, *ONE_STAGE, "schedule.epochs=2"), tmp_path)
    scores = iter([0.5, 0.2])
    monkeypatch.setattr(finished, "validate", lambda: finished.keep(next(scores)))
    finished.run()
    longer = Trainer(tiny_config(shard, "schedule.epochs=2"), tmp_path)
    longer.resume(tmp_path / "last.pt")
    assert (longer.position.stage, longer.step) == (1, 4)
    assert not longer.optimiser.state
    best = averaged_weights(load_checkpoint(tmp_path / "best.pt"))
    last = averaged_weights(load_checkpoint(tmp_path / "last.pt"))
    assert longer.average is not None
    assert int(longer.average.n_averaged) == 0
    for state in (longer.model.state_dict(), longer.average.module.state_dict()):
        assert all(torch.equal(state[key], value) for key, value in best.items())
    assert not torch.equal(best["final_layer.weight"], last["final_layer.weight"])


def test_new_run_starts_from_averaged_weights(shard: Path, tmp_path: Path) -> None:
    fit(tiny_config(shard, *ONE_STAGE, "schedule.epochs=1", validate=False), tmp_path)
    last = tmp_path / "last.pt"
    content = load_checkpoint(last)
    # What the first version of this package wrote had less in it, and one key more.
    old = {key: content[key] for key in ("model", "ema", "config", "step")}
    old["config"]["schedule"]["start"] = 0.0
    del old["config"]["train"]["freeze_norm"]
    write_whole(last, old)
    config = tiny_config(shard, f"train.initial={last}")
    trainer = Trainer(config, tmp_path / "next")
    assert trainer.step == 0
    for key, value in averaged_weights(content).items():
        assert torch.equal(trainer.model.state_dict()[key], value)
    with pytest.raises(ValueError, match=r"lacks optimiser.*train\.initial"):
        trainer.resume(last)


def test_frozen_norm_keeps_its_statistics(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "train.freeze_norm=true", validate=False)
    trainer = Trainer(config, tmp_path)
    trainer.training_mode()
    trainer.train_step()
    norm = trainer.model.bn1
    assert torch.equal(norm.running_mean, torch.zeros(64))
    assert not torch.equal(norm.weight, torch.ones(64))


# --- interruptions ---------------------------------------------------------------------------


def test_killed_and_resumed_equals_straight_bit_for_bit(shard: Path, tmp_path: Path) -> None:
    """Six epochs of two stages; the second run is killed twice at random moments.

    Every run draws others; a failure shows which, and ``LPN_TEST_SEED`` draws them again.
    """
    seed = int(os.environ.get("LPN_TEST_SEED", time.time_ns()))
    print(f"LPN_TEST_SEED={seed}")
    generator = np.random.default_rng(seed)
    options = tiny_overrides(
        shard, "train.batch_size=2", "schedule.epochs=4", "schedule.restart_epoch=2",
        "augment.colour=0.2", "augment.paste_probability=0.5", "train.save_every=3",
    )  # fmt: skip
    command = [sys.executable, "-m", "lpn_training", "fit", str(CONFIGS / "tiny.toml")]
    command += [word for option in options for word in ("--set", option)]

    def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "-o", str(folder), *more], env=ONE_THREAD)

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    more: tuple[str, ...] = ()
    # Stage 0 is four epochs of four steps: the second kill may fall on either side of its end.
    # Six steps or more are left then, so that a fast machine does not get to the end before it.
    for at in (generator.integers(4, 10), generator.integers(14, 19)):
        process = start(broken, *more)
        while steps_logged(broken) < at and process.poll() is None:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.05))
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL, f"ended before the kill at {at}"
        more = ("--resume", str(broken / "last.pt"))
    assert start(broken, *more).wait(timeout=120) == 0
    fit(load_config(CONFIGS / "tiny.toml", options), straight)
    for name in ("last.pt", "best.pt", "stage-0.pt", "stage-1.pt"):
        assert_same_run(straight / name, broken / name)
    assert load_checkpoint(broken / "last.pt")["step"] == 24
    assert (straight / "stages.json").read_text() == (broken / "stages.json").read_text()

    def untimed(folder: Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in e.items() if k != "per_second"} for e in read_log(folder)]

    assert untimed(straight) == untimed(broken)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ((signal.SIGTERM,), 143),
        # torchrun's processes get a second one where their group gets the first.
        ((signal.SIGTERM, signal.SIGTERM), 143),
        ((signal.SIGINT,), 130),
        ((signal.SIGINT, signal.SIGTERM), 143),
    ],
)
def test_signals_finish_the_step_and_save(
    shard: Path, tmp_path: Path, signals: tuple[signal.Signals, ...], code: int
) -> None:
    result = interrupted_fit(shard, tmp_path, signals)
    assert result.exit_code == code, result.output
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 3
    again = interrupted_fit(shard, tmp_path, ())
    assert again.exit_code == 2
    assert f"--resume {tmp_path / 'last.pt'}" in again.output


def test_second_ctrl_c_stops_at_once(shard: Path, tmp_path: Path) -> None:
    result = interrupted_fit(shard, tmp_path, (signal.SIGINT, signal.SIGINT))
    assert result.exit_code == 130, result.output
    # tiny.toml saves every second step.
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_ctrl_c_stays_ignored(shard: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = interrupted_fit(shard, tmp_path, (signal.SIGINT,))
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 0, result.output


def interrupted_fit(shard: Path, folder: Path, signals: tuple[signal.Signals, ...]) -> Any:
    """``lpn-train fit`` of 4 steps, where step 3 gets signals before it is done."""
    from click.testing import CliRunner
    from lpn_training import cli, train

    class Interrupted(train.Trainer):
        def train_step(self) -> torch.Tensor:
            if self.step == 2:
                for number in signals:
                    os.kill(os.getpid(), number)
            return super().train_step()

    overrides = tiny_overrides(shard, *ONE_STAGE, "schedule.epochs=2", validate=False)
    options = [word for override in overrides for word in ("--set", override)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Trainer", Interrupted)
        return CliRunner().invoke(
            cli.main, ["fit", str(CONFIGS / "tiny.toml"), "-o", str(folder), *options]
        )


def test_time_budget_stops_and_keeps_the_schedule(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "schedule.epochs=500", validate=False)
    trainer = fit(config, tmp_path, max_seconds=0.01)
    assert trainer.step == 1
    assert load_checkpoint(tmp_path / "last.pt")["progress"] == pytest.approx(0.001)


def test_resume_refuses_another_network(shard: Path, tmp_path: Path) -> None:
    fit(tiny_config(shard, validate=False), tmp_path, max_seconds=0.01)
    other = Trainer(tiny_config(shard, "model.attention=se", validate=False), tmp_path)
    with pytest.raises(ValueError, match=r"attention='gc'.*attention='se'"):
        other.resume(tmp_path / "last.pt")


def test_resume_may_begin_or_drop_an_average(shard: Path, tmp_path: Path) -> None:
    plain, averaged = "train.ema_decay=0.0", "train.ema_decay=0.9"
    fit(tiny_config(shard, plain, validate=False), tmp_path, max_seconds=0.01)
    stored = load_checkpoint(tmp_path / "last.pt")
    begun = Trainer(tiny_config(shard, averaged, validate=False), tmp_path)
    begun.resume(tmp_path / "last.pt")
    assert begun.average is not None
    assert int(begun.average.n_averaged) == 0
    for key, value in begun.average.module.state_dict().items():
        assert torch.equal(value, stored["model"][key]), key
    begun.save("averaged.pt")
    dropped = Trainer(tiny_config(shard, plain, validate=False), tmp_path)
    dropped.resume(tmp_path / "averaged.pt")
    assert dropped.average is None


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ('data.shards=["none.tar"]', 1, "none.tar"),
        ("data.shards=[]", 2, "no shards were given"),
        ("train.initial=none.pt", 1, "none.pt"),
        ("train.device=cuda", 2, "--set train.device=cpu"),
        ("loss.teacher_joints=[17]", 2, "the model has 0 to 16"),
    ],
)
def test_fit_says_what_is_wrong(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, code: int,
    words: str,
) -> None:  # fmt: skip
    from click.testing import CliRunner
    from lpn_training.cli import main

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    options = [w for o in tiny_overrides(shard, override) for w in ("--set", o)]
    arguments = ["fit", str(CONFIGS / "tiny.toml"), "-o", str(tmp_path / "run"), *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert not (tmp_path / "run").exists()


def test_diverged_loss_is_an_error(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "loss.label_weight=1e30", "train.learning_rate=1e30")
    with pytest.raises(FloatingPointError, match=r"lower train\.learning_rate"):
        fit(config, tmp_path)
