"""The loop, its configuration, schedule and checkpoints, on synthetic shards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from lpn_training import train as training  # noqa: E402
from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.checkpoint import averaged_weights, load_checkpoint, write_whole  # noqa: E402
from lpn_training.config import Config, ScheduleConfig, config_from_dict, load_config  # noqa: E402
from lpn_training.data import pack  # noqa: E402
from lpn_training.losses import label_loss  # noqa: E402
from lpn_training.schedule import learning_rate_factor  # noqa: E402
from lpn_training.train import Trainer, build_model, fit  # noqa: E402

CONFIGS = Path(training.__file__).parent / "configs"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps this small gain nothing from threads, which only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def synthetic_shard(folder: Path, source: str, *, labelled: bool, count: int = 8) -> Path:
    rng = np.random.default_rng(len(source))
    samples = []
    for index in range(count):
        image = Image.fromarray(rng.integers(0, 256, (200 + index, 150, 3), np.uint8))
        data = folder / "image.webp"
        image.save(data, lossless=True)
        meta = {"source": source, "image": "", "box": [30.0, 40.0, 80.0, 110.0]}
        if labelled:
            points = np.concatenate((rng.uniform(40, 110, (17, 2)), np.full((17, 1), 2.0)), 1)
            meta["keypoints"] = points.reshape(-1).tolist()
        samples.append((f"{source}_{index}", data.read_bytes(), json.dumps(meta).encode()))
    return pack.write_shards(samples, folder, source, 1 << 30)[0]


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise", labelled=True)


def tiny(shard: Path, *overrides: str) -> Config:
    size = ("model.height=64", "model.width=48", f'data.shards=["{shard}"]')
    return load_config(CONFIGS / "tiny.toml", (*size, *overrides))


def test_fit_learns_and_logs(shard: Path, tmp_path: Path) -> None:
    plain = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
             "augment.mirror_probability=0.0", 'schedule.kind="cosine"')  # fmt: skip
    config = tiny(
        shard, *plain, "schedule.total_steps=12", "train.log_every=1",
        f'data.validation_shards=["{shard}"]',
    )  # fmt: skip
    trainer = fit(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["label"] for line in lines if "label" in line]
    assert trainer.step == 12
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert any("oks" in line for line in lines)
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "last.pt", "best.pt"}


def test_resumed_run_equals_the_straight_one_bit_for_bit(shard: Path, tmp_path: Path) -> None:
    config = tiny(shard, "augment.colour=0.2", "augment.paste_probability=0.5")
    fit(config, tmp_path / "straight")
    interrupted = Trainer(config, tmp_path / "halves")
    original = interrupted.train_step

    def stop_after_three() -> torch.Tensor:
        result = original()
        if interrupted.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    interrupted.train_step = stop_after_three  # type: ignore[method-assign]
    interrupted.run()
    assert interrupted.step == 3
    fit(config, tmp_path / "halves", resume=tmp_path / "halves" / "last.pt")
    one = load_checkpoint(tmp_path / "straight" / "last.pt")
    two = load_checkpoint(tmp_path / "halves" / "last.pt")
    assert (one["step"], one["progress"]) == (two["step"], two["progress"])
    for part in ("model", "ema"):
        for key, value in one[part].items():
            assert torch.equal(value, two[part][key]), key
    for index, state in one["optimiser"]["state"].items():
        for key, value in state.items():
            assert torch.equal(value, two["optimiser"]["state"][index][key])


def test_time_budget_stops_and_keeps_the_schedule(shard: Path, tmp_path: Path) -> None:
    config = tiny(shard, "schedule.total_steps=1000")
    trainer = fit(config, tmp_path, max_seconds=0.01)
    assert trainer.step == 1
    assert load_checkpoint(tmp_path / "last.pt")["progress"] == pytest.approx(0.001)


def test_new_stage_starts_from_averaged_weights(shard: Path, tmp_path: Path) -> None:
    fit(tiny(shard, "schedule.total_steps=2"), tmp_path)
    last = tmp_path / "last.pt"
    stage = tiny(shard, f'train.initial="{last}"', "schedule.start=0.4")
    trainer = Trainer(stage, tmp_path / "next")
    assert trainer.progress == 0.4
    assert trainer.step == 0
    for key, value in averaged_weights(load_checkpoint(last)).items():
        assert torch.equal(trainer.model.state_dict()[key], value)


def test_teacher_points_label_what_is_unlabelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in teacher that always sees joint k at heatmap pixel (10 + k, 20)."""
    shard = synthetic_shard(tmp_path, "street", labelled=False, count=3)

    class Stub(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = torch.zeros(len(x), 17, 64, 48)
            for joint in range(17):
                maps[:, joint, 20, 10 + joint] = 0.75
            return maps

    monkeypatch.setattr("lpn_training.batches.load_teacher", lambda *_: Stub())
    plain = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
             "augment.mirror_probability=0.0")  # fmt: skip
    config = tiny(
        shard, *plain, "model.height=128", "model.width=96", 'loss.teacher="stub"',
        'loss.teacher_form="points"', f'loss.teacher_cache="{tmp_path / "cache.pt"}"',
    )  # fmt: skip
    source = BatchSource(config, torch.device("cpu"))
    batch = source.draw(0)
    assert not batch.weights.any()
    assert batch.taught is not None
    # Heatmap pixel (10 + k, 20) of 48 x 64 is (5 + k / 2, 10) of 24 x 32.
    flat = batch.taught.flatten(2)
    assert flat.argmax(dim=2)[:, 0].tolist() == [10 * 24 + 5] * len(flat)
    assert flat[:, 0].max().item() == pytest.approx(0.75, abs=1e-3)
    monkeypatch.setattr(Stub, "forward", None)
    again = BatchSource(config, torch.device("cpu")).draw(0)
    assert again.taught is not None
    assert torch.equal(again.taught, batch.taught)


def test_noisy_labels_far_from_a_sure_teacher_go(shard: Path) -> None:
    from lpn_training.teacher import Opinion, judge_labels

    config = tiny(shard, 'loss.noisy_sources=["noise"]', "loss.minimum_confidence=0.3")
    crops = BatchSource(config, torch.device("cpu")).crops
    points = crops.keypoints.clone()
    points[:, 3, 0] += 0.13 * 150
    points[:, 4, 0] += 0.11 * 150
    confidence = torch.full((len(crops), 17), 0.6)
    confidence[0] = 0.4
    crops.labelled[1] = False
    confidence[1] = 0.2
    keep = judge_labels(crops, Opinion(points, confidence), config.loss)
    assert crops.labelled[2].tolist() == [joint != 3 for joint in range(17)]
    assert bool(crops.labelled[0].all())
    assert keep.tolist() == [index != 1 for index in range(len(crops))]


def test_label_loss_formula() -> None:
    rng = np.random.default_rng(0)
    heatmaps, targets = rng.normal(size=(2, 3, 5, 4, 6))
    weights = rng.integers(0, 2, (3, 5)).astype(float)
    joints = [
        0.5 * np.mean(((heatmaps[:, k] - targets[:, k]) * weights[:, k, None, None]) ** 2)
        for k in range(5)
    ]
    found = label_loss(*(torch.from_numpy(a) for a in (heatmaps, targets, weights)))
    assert found.item() == pytest.approx(np.mean(joints), rel=1e-12)


def test_schedules() -> None:
    paper = ScheduleConfig(kind="milestones")
    factors = [learning_rate_factor(paper, epoch / 150) for epoch in (0, 89, 90, 119, 120, 149)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = ScheduleConfig(kind="cosine", warmup=0.1, final=0.0)
    assert learning_rate_factor(cosine, 0.05) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 0.1) == pytest.approx(1.0)
    assert learning_rate_factor(cosine, 0.55) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 1.0) == pytest.approx(0.0)
    with pytest.raises(ValueError, match="milestones"):
        learning_rate_factor(ScheduleConfig(kind="linear"), 0.5)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    config = load_config(path)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    build_model(config)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.learnig_rate=0.1", "unknown configuration key train.learnig_rate"),
        ("trian.seed=1", "unknown configuration key trian"),
        ("train.seed=1.5", "train.seed is 1.5; a int is wanted"),
        ("train.bf16=1", "train.bf16 is 1; a bool is wanted"),
        ("seed=1", "table.key=value"),
    ],
)
def test_wrong_configuration_is_refused(override: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_config(CONFIGS / "tiny.toml", (override,))


def test_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_whole(path, {"model": {}, "config": {}, "step": 1})
    with pytest.raises(Exception, match=r"pickle|lambda"):
        write_whole(path, {"model": lambda: None})
    assert load_checkpoint(path)["step"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["last.pt"]


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not a training checkpoint"):
        load_checkpoint(path)
