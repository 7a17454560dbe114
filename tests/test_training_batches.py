"""Batches: the same bits for any number of workers, held or streamed, and the official targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

from lpn_training.batches import Batch, BatchSource  # noqa: E402
from lpn_training.config import Config, config_from_dict  # noqa: E402
from lpn_training.data import augment  # noqa: E402
from lpn_training.data.crops import StreamedImages, load_crops  # noqa: E402
from lpn_training.data.pack import PackOptions, pack  # noqa: E402
from test_training_targets import reference_target  # noqa: E402
from training_data import make_coco, make_mpii  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("coco")
    annotations, images = make_coco(folder, 7)
    options = PackOptions("coco", shard_persons=3)
    return pack(annotations, images, folder / "shards", options, workers=0)


def configure(shards: list[Path], **data: object) -> Config:
    return config_from_dict(
        {
            "model": {"height": 64, "width": 48},
            "data": {"shards": [str(path) for path in shards], **data},
            "augment": {"colour": 0.2, "shift_sigma": 0.02},
            "train": {"device": "cpu", "batch_size": 5, "seed": 11},
        }
    )


def draw(source: BatchSource, steps: range, rank: int = 0, processes: int = 1) -> list[Batch]:
    return [source.draw(step, rank, processes) for step in steps]


def assert_same(one: list[Batch], two: list[Batch]) -> None:
    for first, second in zip(one, two, strict=True):
        for mine, other in zip(first[:3], second[:3], strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize(
    ("storage", "workers"),
    [("held", 1), ("held", 3), ("streamed", 0), ("streamed", 1), ("streamed", 3), ("auto", 0)],
)
def test_any_worker_count_gives_the_same_bits(
    shards: list[Path], storage: str, workers: int
) -> None:
    reference = BatchSource(configure(shards, storage="held", workers=0), CPU)
    source = BatchSource(configure(shards, storage=storage, workers=workers), CPU)
    assert isinstance(source.crops.images, StreamedImages) == (storage == "streamed")
    expected = draw(reference, range(6))
    assert_same(draw(source, range(6)), expected)
    # A resumed run begins anywhere.
    assert_same(draw(source, range(3, 5)), expected[3:5])


def test_streamed_crops_index_as_the_tensor_does(shards: list[Path]) -> None:
    held = load_crops(shards, workers=0).images
    streamed = load_crops(shards, workers=0, storage="streamed").images
    assert isinstance(streamed, StreamedImages)
    assert streamed.shape == held.shape
    chosen = torch.tensor([5, 0, 5, 2])
    assert torch.equal(streamed[chosen], held[chosen])
    assert torch.equal(streamed[2:6], held[2:6])
    assert torch.equal(streamed[-3:], held[-3:])


def test_parts_of_processes_are_the_whole_batch(shards: list[Path]) -> None:
    config = configure(shards, workers=0)
    plain = config_from_dict({**config.to_dict(), "augment": {}})
    whole = BatchSource(plain, CPU).draw(4)
    for storage in ("held", "streamed"):
        streamed = config_from_dict(
            {**plain.to_dict(), "data": {**plain.to_dict()["data"], "storage": storage}}
        )
        parts = [BatchSource(streamed, CPU).draw(4, rank, 2) for rank in (0, 1)]
        for index, expected in enumerate(whole[:3]):
            for rank in (0, 1):
                assert torch.equal(parts[rank][index], expected[rank::2])


def test_seed_and_step_change_the_batch(shards: list[Path]) -> None:
    config = configure(shards, workers=0)
    source = BatchSource(config, CPU)
    train = {**config.to_dict()["train"], "seed": 12}
    other = BatchSource(config_from_dict({**config.to_dict(), "train": train}), CPU)
    assert not torch.equal(source.draw(0).views, source.draw(1).views)
    assert not torch.equal(source.draw(0).views, other.draw(0).views)


def test_targets_of_a_batch_are_drawn_where_the_joints_went(shards: list[Path]) -> None:
    """Also for joints outside the view whose Gaussian reaches into it."""
    config = configure(shards, workers=0)
    source = BatchSource(config, CPU)
    seen: list[tuple[torch.Tensor, augment.ViewMaps]] = []
    original = augment.random_maps

    def record(boxes: torch.Tensor, *arguments: object) -> augment.ViewMaps:
        maps = original(boxes, *arguments)  # type: ignore[arg-type]
        seen.append((boxes, maps))
        return maps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lpn_training.batches.random_maps", record)
        batches = draw(source, range(4))
    for batch, (boxes, maps) in zip(batches, seen, strict=True):
        for row, (box, matrix, mirrored) in enumerate(
            zip(boxes, maps.matrix.double(), maps.mirrored, strict=True)
        ):
            index = int((source.crops.boxes == box).all(dim=1).nonzero()[0, 0])
            linear, offset = matrix[:, :2].numpy(), matrix[:, 2].numpy()
            points = source.crops.keypoints[index].double().numpy()
            moved = np.linalg.solve(linear, (points - offset).T).T
            flags = source.crops.labelled[index].numpy()
            if mirrored:
                order = list(source.crops.joints.mirror)
                moved, flags = moved[order], flags[order]
            for joint in range(17):
                expected, weight = reference_target(*moved[joint].tolist(), 12, 16)
                weight *= flags[joint]
                assert batch.weights[row, joint].item() == weight
                error = batch.targets[row, joint].numpy() - expected * weight
                assert np.abs(error).max() <= 1e-4


def test_mpii_batches(tmp_path: Path) -> None:
    annotations, _ = make_mpii(tmp_path)
    options = PackOptions("mpii", height=256, width=256)
    made = pack(annotations, tmp_path, tmp_path / "shards", options, form="mpii", workers=0)
    values = configure(made, workers=0).to_dict()
    with pytest.raises(ValueError, match=r"model.keypoints is 'coco17'; the shards hold 'mpii16'"):
        BatchSource(config_from_dict(values), CPU)
    values["model"] = {"height": 64, "width": 64, "keypoints": "mpii16"}
    batch = BatchSource(config_from_dict(values), CPU).draw(0)
    assert batch.views.shape == (5, 3, 64, 64)
    assert batch.targets.shape == (5, 16, 16, 16)
    values["loss"] = {"teacher": "teacher.onnx", "teacher_form": "points"}
    with pytest.raises(ValueError, match=r"knows coco17; model\.keypoints is 'mpii16'"):
        BatchSource(config_from_dict(values), CPU)
