"""Runs that go wrong or move: divergence, signals to all processes, another folder, other data."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")

from lpn_training.checkpoint import averaged_weights, load_checkpoint  # noqa: E402
from lpn_training.config import ModelConfig, load_config  # noqa: E402
from lpn_training.data.crops import load_crops  # noqa: E402
from lpn_training.data.shards import Manifest, find_shards  # noqa: E402
from lpn_training.runlog import read_log  # noqa: E402
from lpn_training.train import Trainer, fit  # noqa: E402
from lpn_training.validation import check_validation  # noqa: E402
from training_runs import (  # noqa: E402
    CONFIGS,
    ONE_THREAD,
    one_thread,
    synthetic_shard,
    tiny_config,
    tiny_overrides,
)

ONE_STAGE = ("schedule.stages=1", "schedule.restart_epoch=0")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


def test_diverged_weights_are_never_saved(shard: Path, tmp_path: Path) -> None:
    """However seldom the loss is logged."""
    config = tiny_config(
        shard, "train.learning_rate=1e30", "train.save_every=1", "train.log_every=50",
        validate=False,
    )  # fmt: skip
    trainer = Trainer(config, tmp_path)
    with pytest.raises(FloatingPointError, match=r"lower train\.learning_rate"):
        trainer.run()
    weights = load_checkpoint(tmp_path / "last.pt")
    assert weights["step"] == trainer.step - 1
    assert all(bool(value.isfinite().all()) for value in weights["model"].values())


def test_diverged_weights_are_not_saved_when_the_time_is_up(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "loss.label_weight=1e38", "train.log_every=50", validate=False)
    with pytest.raises(FloatingPointError, match="at step 1 the loss is"):
        fit(config, tmp_path, max_seconds=1e-6)
    assert not (tmp_path / "last.pt").exists()


def test_streamed_crops_train_the_same_weights(shard: Path, tmp_path: Path) -> None:
    """In bf16, with AdamW and clipping, which no other run here has."""
    options = (
        *ONE_STAGE, "schedule.epochs=2", "train.bf16=true", "train.optimiser=adamw",
        "train.weight_decay=0.05", "train.clip_norm=0.5",
    )  # fmt: skip
    runs = {}
    for storage, workers in (("held", 0), ("streamed", 0), ("streamed", 2)):
        more = (f"data.storage={storage}", f"data.workers={workers}")
        runs[storage, workers] = fit(
            tiny_config(shard, *options, *more, validate=False), tmp_path / f"{storage}{workers}"
        ).model.state_dict()
    first = runs.pop(("held", 0))
    for other in runs.values():
        assert all(torch.equal(other[name], value) for name, value in first.items())


def test_sigterm_to_the_group_waits_for_the_decoders(shard: Path, tmp_path: Path) -> None:
    """As torchrun and a shell send it: the workers that a step waits for must outlive it."""
    options = tiny_overrides(
        shard, "data.storage=streamed", "data.workers=1", "schedule.epochs=5000", validate=False
    )
    command = [sys.executable, "-m", "lpn_training", "fit", str(CONFIGS / "tiny.toml")]
    command += [word for option in options for word in ("--set", option)]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path)], env=ONE_THREAD, start_new_session=True
    )
    while not (tmp_path / "log.jsonl").exists() or not read_log(tmp_path):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert load_checkpoint(tmp_path / "last.pt")["step"] >= 1


def test_resume_into_another_folder_brings_the_best_along(shard: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fit(tiny_config(shard, *ONE_STAGE, "schedule.epochs=1"), first)
    config = tiny_config(shard, "schedule.epochs=2")
    trainer = fit(config, second, resume=first / "last.pt")
    assert trainer.position.stage == 2
    best = averaged_weights(load_checkpoint(first / "best.pt"))
    brought = averaged_weights(load_checkpoint(second / "stage-0.pt"))
    assert all(torch.equal(brought[name], value) for name, value in best.items())
    (first / "best.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"first lacks best\.pt.*train\.initial"):
        Trainer(config, tmp_path / "third").resume(first / "last.pt")


def test_resume_says_that_the_crops_are_others(
    shard: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, more = tmp_path / "run", tmp_path / "more"
    more.mkdir()
    fit(tiny_config(shard, validate=False), run, max_seconds=1e-6)
    other = synthetic_shard(more, "noises", count=5)
    for place, warned in ((shard, False), (other, True)):
        trainer = Trainer(tiny_config(place, validate=False), run)
        with caplog.at_level(logging.WARNING):
            trainer.resume(run / "last.pt")
        assert ("saw other crops" in caplog.text) is warned


def test_folder_that_lacks_shards_is_refused(tmp_path: Path) -> None:
    empty, folder = tmp_path / "empty", tmp_path / "shards"
    empty.mkdir()
    folder.mkdir()
    with pytest.raises(ValueError, match=r"empty holds no shards .*lpn-train pack"):
        find_shards([str(empty)])
    path = synthetic_shard(folder, "noise")
    record = {"sha256": "", "bytes": 1, "samples": 1}
    place = folder / "noise.manifest.json"
    names = (path.name, "noise-001.tar")
    content = {"format": 1, "settings": {}, "shards": dict.fromkeys(names, record)}
    place.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"shards lacks noise-001\.tar, which noise\.manifest"):
        find_shards([str(folder)])
    shutil.copy(path, folder / names[1])
    assert find_shards([str(folder)]) == [folder / name for name in names]
    manifest = Manifest.read(place)
    manifest.total = 3
    manifest.write(place)
    with pytest.raises(ValueError, match=r"holds 2 of the 3 shards .*goes on where it ended"):
        find_shards([str(folder)])


def test_validation_crops_that_cannot_be_scored_are_refused_at_once(
    shard: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"model\.keypoints is 'mpii16'; .* shards hold 'coco17'"):
        check_validation(load_crops([shard], workers=0), ModelConfig(keypoints="mpii16"))
    blank = synthetic_shard(tmp_path, "blank", labelled=False)
    options = tiny_overrides(shard, f'data.validation_shards=["{blank}"]', validate=False)
    with pytest.raises(ValueError, match="none of 8 validation crops has a labelled joint"):
        Trainer(load_config(CONFIGS / "tiny.toml", options), tmp_path)
