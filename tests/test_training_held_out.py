"""People of training pictures that are held out, and the teacher's answers that shards bring."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")

from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.checkpoint import load_checkpoint  # noqa: E402
from lpn_training.data.crops import load_crops  # noqa: E402
from lpn_training.data.shards import Encoded, open_shard, picture_number, write_shard  # noqa: E402
from lpn_training.export import export_checkpoint  # noqa: E402
from lpn_training.tables import read_stages, stage_table  # noqa: E402
from lpn_training.train import Trainer  # noqa: E402
from training_runs import one_thread, synthetic_shard, tiny_config  # noqa: E402

CPU = torch.device("cpu")
PLAIN = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
         "augment.mirror_probability=0.0")  # fmt: skip
POINTS = ("loss.teacher_weight=1.0", "loss.teacher_form=points", "model.height=128",
          "model.width=96")  # fmt: skip
TEACHER = b"a teacher"
HASH = hashlib.sha256(TEACHER).hexdigest()


def rewritten(path: Path, change: object) -> Path:
    """A shard whose sample i has the changes that ``change(i)`` gives."""
    samples = [
        Encoded(f"{index:03d}", "webp", sample.read(), {**sample.meta, **change(index)})  # type: ignore[operator]
        for index, sample in enumerate(open_shard(path))
    ]
    write_shard(path, samples)
    return path


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """40 persons of 20 pictures."""
    path = synthetic_shard(tmp_path, "noise", count=40)
    return rewritten(path, lambda index: {"image": f"{index // 2}.jpg"})


def test_held_out_pictures_are_never_drawn(shard: Path) -> None:
    config = tiny_config(shard, "data.held_out={ noise = 0.3 }")
    source = BatchSource(config, CPU)
    names = [sample.meta["image"] for sample in open_shard(shard)]
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    expected = [int(digest[:16], 16) < 0.3 * 2**64 for digest in digests]
    assert source.held_out.tolist() == expected
    assert 0 < sum(expected) < 20
    assert [picture_number(name) for name in names] == [int(d[:16], 16) for d in digests]
    drawn = torch.cat([source.sampler.choose(step, 8) for step in range(20)])
    assert set(drawn.tolist()) == {index for index, out in enumerate(expected) if not out}
    crops = source.held_out_crops()
    assert len(crops) == sum(expected)
    assert torch.equal(crops.keypoints, source.crops.keypoints[source.held_out])
    # A larger part holds out the same and more.
    more = BatchSource(tiny_config(shard, "data.held_out={ noise = 0.6 }"), CPU).held_out
    assert bool(more[source.held_out].all())
    assert more.sum() > source.held_out.sum()


def test_held_out_people_choose_and_validation_is_reported(shard: Path, tmp_path: Path) -> None:
    steps = ("schedule.total_steps=2", "train.validate_every=2", "train.log_every=1")
    with one_thread():
        trainer = Trainer(tiny_config(shard, *steps, "data.held_out={ noise = 0.3 }"), tmp_path)
        trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    scores = [line for line in lines if "ap" in line]
    names = ("ap", "oks", "reported_ap", "reported_oks", "trained_ap", "trained_oks")
    assert scores[0].keys() >= set(names)
    assert scores[0]["oks"] != scores[0]["reported_oks"]
    assert trainer.best["score"] == max(line["ap"] for line in scores)
    out = trainer.validation[""]
    assert len(out) == len(trainer.validation["trained_"]) < len(trainer.validation["reported_"])
    assert len(trainer.validation["reported_"]) == 40
    # The same numbers in what a user reads: beside the weights they are of, and in their card.
    best = load_checkpoint(tmp_path / "best.pt")["best"]
    (line,) = (line for line in scores if line["step"] == best["step"])
    assert {key: best[key] for key in names} == {key: line[key] for key in names}
    stage = max(read_stages(tmp_path), key=lambda record: record["ap"])
    assert (stage["reported_ap"], stage["trained_ap"]) == (line["reported_ap"], line["trained_ap"])
    head, _, *rows = stage_table(read_stages(tmp_path)).splitlines()
    assert head.endswith("| improved | reported AP | AP on trained people |")
    assert all(f"| {line[key]:.4f} |" in rows[stage["stage"]] for key in ("ap", "trained_ap"))
    card, file = tmp_path / "card.md", tmp_path / "m.safetensors"
    export_checkpoint(tmp_path / "best.pt", file, name="m", card=card)
    figures = ", ".join(f"{line[key]:.3f}" for key in ("trained_ap", "ap", "reported_ap"))
    people = "trained on, held out, of the validation"
    assert f"| AP on packed crops of people {people} | {figures} |" in card.read_text()


def test_people_trained_on_are_labelled_drawn_and_the_same_in_every_run(shard: Path) -> None:
    rewritten(shard, lambda index: {} if index % 4 else {"keypoints": [0] * 51})
    source = BatchSource(tiny_config(shard, "data.held_out={ noise = 0.3 }"), CPU)
    drawn = ~source.held_out & source.crops.labelled.any(dim=1)
    crops = source.trained_crops(5)
    assert crops is not None
    assert len(crops) == 5
    assert bool(crops.labelled.any(dim=1).all())
    last = source.crops.lots[drawn].sort().values[-5:]
    assert torch.equal(crops.lots.sort().values, last)
    more = source.trained_crops(1000)
    assert more is not None
    assert torch.equal(more.keypoints, source.crops.keypoints[drawn])


def test_held_out_wants_known_sources_and_labels(shard: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.held_out names 'noice'; sources are \('noise',\)"):
        BatchSource(tiny_config(shard, "data.held_out={ noice = 0.3 }"), CPU)
    config = tiny_config(shard, "data.held_out={ noise = 1e-9 }")
    with pytest.raises(ValueError, match="holds out none of the 40 crops that has a label"):
        Trainer(config, tmp_path)


@pytest.fixture
def packed_by_teacher(tmp_path: Path) -> Path:
    """Four unlabelled crops, two with answers of ``TEACHER`` and one with another's."""
    path = synthetic_shard(tmp_path, "street", labelled=False, count=4)
    (tmp_path / "teacher").write_bytes(TEACHER)
    teachers = {0: HASH, 2: HASH, 3: "0" * 64}

    def answers(index: int) -> dict[str, object]:
        if index not in teachers:
            return {}
        points = np.full((17, 3), (60.0 + index, 90.0, 0.5 + index / 10))
        return {"teacher": teachers[index], "teacher_keypoints": points.reshape(-1).tolist()}

    return rewritten(path, answers)


def test_only_crops_without_answers_are_asked_about(
    packed_by_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def teacher(inputs: torch.Tensor) -> torch.Tensor:
        asked.append(len(inputs))
        return torch.full((len(inputs), 17, 64, 48), 0.25)

    monkeypatch.setattr("lpn_training.batches.load_teacher", lambda *_: teacher)
    cache = f"loss.teacher_cache={tmp_path / 'cache.pt'}"
    config = tiny_config(
        packed_by_teacher, *POINTS, f"loss.teacher={tmp_path / 'teacher'}", cache, validate=False
    )
    predictions = BatchSource(config, CPU).predictions
    assert sum(asked) == 2
    assert predictions is not None
    assert predictions.confidence[:, 0].tolist() == pytest.approx([0.5, 0.25, 0.7, 0.25])
    assert predictions.keypoints[[0, 2], 5].tolist() == [[60, 90], [62, 90]]
    again = BatchSource(config, CPU).predictions
    assert sum(asked) == 2
    assert again is not None
    assert torch.equal(again.keypoints, predictions.keypoints)


def test_answers_in_shards_need_no_teacher(
    packed_by_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are drawn as Gaussians; not a bit of the file is read but for its hash."""
    points = np.full((17, 3), (62.0, 93.0, 0.75)).reshape(-1).tolist()
    rewritten(packed_by_teacher, lambda _: {"teacher": HASH, "teacher_keypoints": points})
    monkeypatch.setattr("lpn_training.batches.load_teacher", None)
    options = (*PLAIN, *POINTS, f"loss.teacher={tmp_path / 'teacher'}")
    batch = BatchSource(tiny_config(packed_by_teacher, *options, validate=False), CPU).draw(0)
    assert batch.teacher_heatmaps is not None
    assert not batch.weights.any()
    # The box [30, 40, 80, 110], padded, is 137.5 crop pixels high and centred at (70, 95).
    x, y = 12 + (62 - 70) * 32 / 137.5, 16 + (93 - 95) * 32 / 137.5
    ys, xs = np.arange(32)[:, None], np.arange(24)
    sigma = 2.0
    bell = 0.75 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    assert np.abs(batch.teacher_heatmaps.numpy() - bell).max() < 1e-4


def test_damaged_answers_are_named(packed_by_teacher: Path) -> None:
    rewritten(packed_by_teacher, lambda _: {"teacher": HASH, "teacher_keypoints": [1.0, 2.0, 0.5]})
    with pytest.raises(ValueError, match=r"000.webp: teacher_keypoints hold 3 values; 51 numbers"):
        load_crops([packed_by_teacher], workers=0, teacher=HASH)
