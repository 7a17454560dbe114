"""Training throughput against a plain loop: eager PyTorch and a DataLoader that reads with OpenCV.

Both train LPN-50 on the same synthetic photos with the same augmentation, batch, optimiser,
precision and threads, in one process and in turns. The plain loop opens each photo anew, as the
official code does; ours begins from packed crops.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Options
from report import Column, Report

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")
pytest.importorskip("lpn_training")

# Only now: without the packages above, these imports would fail where a skip is wanted.
from lpn_training.config import Config, config_from_dict  # noqa: E402
from lpn_training.data.pack import PackOptions, pack  # noqa: E402
from lpn_training.losses import label_loss  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.train import Trainer  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

HEIGHT, WIDTH, JOINTS = 256, 192, 17
ROUNDS = 5
PHOTOS = 64
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
COLUMNS = (
    Column("device", "device"),
    Column("precision", "precision"),
    Column("threads", "threads", ".0f"),
    Column("batch", "batch", ".0f"),
    Column("lpn_training images/s", "ours", ".1f"),
    Column("plain loop images/s", "plain", ".1f"),
    Column("ratio: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("max", "ratio_max", ".2f"),
)


class Photos(Dataset[tuple[Any, ...]]):
    """Persons of a COCO file as the official code reads them: photo, warp, target in NumPy."""

    def __init__(self, annotations: Path, images: Path) -> None:
        content = json.loads(annotations.read_text())
        names = {record["id"]: record["file_name"] for record in content["images"]}
        self.persons = [
            (images / names[a["image_id"]], a["bbox"], np.reshape(a["keypoints"], (-1, 3)))
            for a in content["annotations"]
        ]

    def __len__(self) -> int:
        return 1 << 30  # an endless epoch: the loader never has to begin anew

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        path, (x, y, w, h), joints = self.persons[number % len(self.persons)]
        rng = np.random.default_rng(number)
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        centre, points = np.array((x + w / 2, y + h / 2)), joints[:, :2].astype(np.float64)
        size = 1.25 * max(w, h * WIDTH / HEIGHT)
        angle = np.clip(rng.normal(0, 40), -80, 80) if rng.random() < 0.6 else 0.0
        size *= np.clip(rng.normal(1, 0.3), 0.7, 1.3)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
            centre[0] = photo.shape[1] - 1 - centre[0]
            points[:, 0] = photo.shape[1] - 1 - points[:, 0]
        warp = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, WIDTH / size)
        warp[:, 2] = np.array((WIDTH / 2, HEIGHT / 2)) - warp[:, :2] @ centre
        view = cv2.warpAffine(photo, warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        image = (view.astype(np.float32) / 255 - MEAN) / STD
        target, weight = self.target(points @ warp[:, :2].T + warp[:, 2], joints[:, 2] > 0)
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), target, weight

    def target(self, points: Any, labelled: Any) -> tuple[Any, Any]:
        """Gaussians of sigma 2 pasted joint by joint."""
        rows, columns = HEIGHT // 4, WIDTH // 4
        target = np.zeros((JOINTS, rows, columns), np.float32)
        weight = labelled.astype(np.float32)
        axis = np.arange(13) - 6
        bell = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / 8).astype(np.float32)
        for joint, (px, py) in enumerate(points):
            left, top = int(px / 4 + 0.5) - 6, int(py / 4 + 0.5) - 6
            if left >= columns or top >= rows or left + 13 < 0 or top + 13 < 0:
                weight[joint] = 0
            if weight[joint]:
                x0, x1 = max(left, 0), min(left + 13, columns)
                y0, y1 = max(top, 0), min(top + 13, rows)
                target[joint, y0:y1, x0:x1] = bell[y0 - top : y1 - top, x0 - left : x1 - left]
        return target, weight


class PlainLoop:
    """The loop of a tutorial."""

    def __init__(self, photos: Photos, config: Config, workers: int) -> None:
        self.device = torch.device(config.train.device)
        self.bf16 = config.train.bf16
        self.model = LPN(50, "gc", JOINTS, "he").to(self.device).train()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.photos, self.batch, self.workers = photos, config.train.batch_size, workers

    def loss(self, image: Any, target: Any, weight: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            heatmaps = self.model(image)
        return label_loss(heatmaps.float(), target, weight)

    def steps(self) -> Generator[None, None, None]:
        """One update per item, with the loader's workers alive while it is iterated over."""
        loader = DataLoader(
            self.photos,
            self.batch,
            num_workers=self.workers,
            worker_init_fn=lambda _: cv2.setNumThreads(0),
            pin_memory=self.device.type == "cuda",
        )
        for batch in loader:
            loss = self.loss(*(part.to(self.device, non_blocking=True) for part in batch))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            yield


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory, options: Options) -> tuple[Path, Path]:
    """Photos of COCO's usual size with one person each."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    records, annotations = [], []
    for index in range(4 if options.smoke else PHOTOS):
        noise = rng.integers(0, 256, (60, 80, 3), np.uint8)
        photo = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.jpg"), photo)
        records.append({"id": index, "file_name": f"{index}.jpg", "width": 640, "height": 480})
        w, h = rng.uniform(60, 200), rng.uniform(150, 400)
        x, y = rng.uniform(0, 640 - w), rng.uniform(0, 480 - h)
        joints = np.column_stack((rng.uniform((x, y), (x + w, y + h), (JOINTS, 2)),
                                  np.full(JOINTS, 2)))  # fmt: skip
        annotations.append({"id": index, "image_id": index, "bbox": [x, y, w, h],
                            "keypoints": joints.reshape(-1).tolist()})  # fmt: skip
    path = folder / "persons.json"
    path.write_text(json.dumps({"images": records, "annotations": annotations}))
    return path, folder


def same_loss(trainer: Trainer, plain: PlainLoop) -> None:
    """Holds the two to the same loss on the same batch with the same weights."""
    plain.model.load_state_dict(trainer.model.state_dict())
    batch = trainer.batches.draw(0)
    with torch.no_grad():
        mine, _ = trainer.losses.of(*batch)
        other = plain.loss(batch.views.contiguous(), batch.targets, batch.weights)
    tolerance = 1e-2 if plain.bf16 else 1e-4
    assert abs(float(mine) - float(other)) <= tolerance * float(other), "not the same training"


def images_per_second(step: Callable[[], object], steps: int, batch: int, device: str) -> float:
    """Rate over some steps, after one that is not timed."""

    def finish() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    step()
    finish()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    finish()
    return steps * batch / (time.perf_counter() - begin)


# The loader forks this process, as it does everybody's; Python 3.12 and later warn of it.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("bf16", [True, False], ids=["bf16", "fp32"])
@pytest.mark.parametrize("device", DEVICES)
def test_training_throughput(
    coco: tuple[Path, Path],
    tmp_path: Path,
    options: Options,
    report: Report,
    device: str,
    bf16: bool,
) -> None:
    if options.smoke and not bf16:
        pytest.skip("smoke: one precision is enough")
    batch, steps = (256, 30) if device == "cuda" else (16, 4)
    if options.smoke:
        batch, steps = 2, 1
    shards = pack(*coco, tmp_path / "shards", PackOptions("photos"), workers=0)
    config = config_from_dict(
        {
            "data": {"shards": [str(path) for path in shards], "workers": 0},
            "train": {
                "device": device,
                "batch_size": batch,
                "bf16": bf16,
                "compile": device == "cuda",
            },
        }
    )
    trainer = Trainer(config, tmp_path / "run")
    trainer.training_mode()
    plain = PlainLoop(Photos(*coco), config, workers=torch.get_num_threads())
    same_loss(trainer, plain)
    ours, theirs = [], []
    for _ in range(options.rounds(ROUNDS)):
        ours.append(images_per_second(trainer.train_step, steps, batch, device))
        iterator = plain.steps()
        theirs.append(images_per_second(iterator.__next__, steps, batch, device))
        iterator.close()
    ratios = np.divide(ours, theirs)
    report.table("Training LPN-50, 256 x 192", COLUMNS).records.append(
        {
            "device": device,
            "precision": "bf16" if bf16 else "fp32",
            "threads": torch.get_num_threads(),
            "batch": batch,
            "ours": float(np.median(ours)),
            "plain": float(np.median(theirs)),
            "ratio_median": float(np.median(ratios)),
            "ratio_min": float(ratios.min()),
            "ratio_max": float(ratios.max()),
        }
    )
