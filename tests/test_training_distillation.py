"""Losses, and what the teacher adds to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.losses import label_loss, teacher_loss  # noqa: E402
from lpn_training.teacher import TeacherPredictions, filter_labels  # noqa: E402
from lpn_training.train import Trainer  # noqa: E402
from training_runs import synthetic_shard, tiny_config  # noqa: E402

PLAIN = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
         "augment.mirror_probability=0.0")  # fmt: skip


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


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


def test_teacher_loss_formula() -> None:
    rng = np.random.default_rng(0)
    heatmaps, teacher = rng.normal(size=(2, 3, 5, 4, 6))
    mask = rng.integers(0, 2, (3, 5)).astype(float)
    squared = (heatmaps - teacher) ** 2
    one, two, weights = (torch.from_numpy(a) for a in (heatmaps, teacher, mask))
    assert teacher_loss(one, two).item() == pytest.approx(0.5 * squared.mean(), rel=1e-12)
    masked = 0.5 * (squared * mask[:, :, None, None]).mean()
    assert teacher_loss(one, two, weights).item() == pytest.approx(masked, rel=1e-12)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("joints", [(), (0, 3)])
def test_teacher_speaks_where_it_is_asked_to(
    shard: Path, tmp_path: Path, labelled: bool, joints: tuple[int, ...]
) -> None:
    """A loss whose gradient shows for which joints of which samples the teacher counts."""
    options = (
        f"loss.teacher_labelled={str(labelled).lower()}",
        f"loss.teacher_joints={list(joints)}",
    )
    trainer = Trainer(tiny_config(shard, *options, validate=False), tmp_path)
    views = torch.zeros(2, 3, 64, 48)
    heatmaps = torch.zeros(2, 17, 16, 12, requires_grad=True)
    trainer.losses.network = lambda _: heatmaps  # type: ignore[assignment]
    weights = torch.zeros(2, 17)
    weights[0, :10] = 1
    zeros, ones = torch.zeros(2, 17, 16, 12), torch.ones(2, 17, 16, 12)
    _, distilled = trainer.losses.of(views, zeros, weights, ones)
    distilled.backward()
    found = heatmaps.grad.abs().amax(dim=(2, 3)) > 0
    expected = [
        [(labelled or not (row == 0 and joint < 10)) and (not joints or joint in joints)
         for joint in range(17)]
        for row in range(2)
    ]  # fmt: skip
    assert found.tolist() == expected


def test_teacher_points_label_what_is_unlabelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in teacher that always sees joint k at heatmap pixel (10 + k, 20)."""
    shard = synthetic_shard(tmp_path, "street", labelled=False, count=3)

    def maps_of(count: int, height: float) -> torch.Tensor:
        maps = torch.zeros(count, 17, 64, 48)
        for joint in range(17):
            maps[:, joint, 20, 10 + joint] = height
        return maps

    class Stub(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return maps_of(len(x), 0.75)

    monkeypatch.setattr("lpn_training.batches.load_teacher", lambda *_: Stub())
    config = tiny_config(
        shard, *PLAIN, "model.height=128", "model.width=96", f"loss.teacher={tmp_path / 'stub'}",
        "loss.teacher_weight=1.0", "loss.teacher_form=points",
        f"loss.teacher_cache={tmp_path / 'cache.pt'}", validate=False,
    )  # fmt: skip
    (tmp_path / "stub").write_text("a teacher")
    source = BatchSource(config, torch.device("cpu"))
    batch = source.draw(0)
    assert not batch.weights.any()
    assert batch.teacher_heatmaps is not None
    # Heatmap pixel (10 + k, 20) of 48 x 64 is (5 + k / 2, 10) of 24 x 32.
    flat = batch.teacher_heatmaps.flatten(2)
    assert flat.argmax(dim=2)[:, 0].tolist() == [10 * 24 + 5] * len(flat)
    assert flat[:, 0].max().item() == pytest.approx(0.75, abs=1e-3)
    monkeypatch.setattr(Stub, "forward", None)
    again = BatchSource(config, torch.device("cpu")).draw(0)
    assert again.teacher_heatmaps is not None
    assert torch.equal(again.teacher_heatmaps, batch.teacher_heatmaps)
    # Another teacher is asked anew.
    (tmp_path / "stub").write_text("a taller teacher")
    monkeypatch.setattr(Stub, "forward", lambda _, x: maps_of(len(x), 0.25))
    other = BatchSource(config, torch.device("cpu")).draw(0)
    assert other.teacher_heatmaps is not None
    assert other.teacher_heatmaps.flatten(2)[:, 0].max().item() == pytest.approx(0.25, abs=1e-3)


def test_noisy_labels_far_from_a_sure_teacher_go(shard: Path) -> None:
    config = tiny_config(shard, 'loss.noisy_sources=["noise"]', "loss.minimum_confidence=0.3")
    crops = BatchSource(config, torch.device("cpu")).crops
    points = crops.keypoints.clone()
    points[:, 3, 0] += 0.13 * 150
    points[:, 4, 0] += 0.11 * 150
    confidence = torch.full((len(crops), 17), 0.6)
    confidence[0] = 0.4
    crops.labelled[1] = False
    confidence[1] = 0.2
    keep = filter_labels(crops, TeacherPredictions(points, confidence), config.loss)
    assert crops.labelled[2].tolist() == [joint != 3 for joint in range(17)]
    assert bool(crops.labelled[0].all())
    assert keep.tolist() == [index != 1 for index in range(len(crops))]
