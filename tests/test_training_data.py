"""Packing, crops, augmentation and targets against float64 NumPy."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from lpn_core import keypoints as keypoint_sets  # noqa: E402
from lpn_training.data import augment, crops, pack  # noqa: E402
from lpn_training.data.keypoints import COCO_MIRROR, NUM_COCO_JOINTS  # noqa: E402
from lpn_training.data.targets import gaussian_targets  # noqa: E402

HEIGHT, WIDTH = 256, 192


def make_coco(folder: Path, persons: int = 6) -> tuple[Path, Path]:
    """A synthetic COCO keypoint data set: blobs on noise, one person per image."""
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir(parents=True)
    records, annotations = [], []
    for index in range(persons):
        pixels = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), np.uint8), (9, 9), 0)
        name = f"{index:04d}.png"
        Image.fromarray(pixels).save(images / name)
        records.append({"id": index, "file_name": name, "width": 400, "height": 300})
        x, y, w, h = 60 + 10 * index, 30, 120 + 20 * index, 200
        points = np.stack((rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17),
                           rng.integers(0, 3, 17)), axis=1).round()  # fmt: skip
        points[points[:, 2] == 0] = 0
        annotations.append({"id": index + 1, "image_id": index, "bbox": [x, y, w, h],
                            "category_id": 1, "area": w * h * 0.53, "iscrowd": 0,
                            "num_keypoints": int((points[:, 2] > 0).sum()),
                            "keypoints": points.reshape(-1).tolist()})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(keypoint_sets.COCO17.names)}
    content = {"images": records, "annotations": annotations, "categories": [category]}
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path, images


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("coco")
    annotations, images = make_coco(folder)
    return pack.pack_coco(annotations, images, folder / "shards", shard_bytes=30_000)


def test_mirror_agrees_with_lpn_core() -> None:
    assert list(COCO_MIRROR) == keypoint_sets.COCO17.mirror_index
    assert len(keypoint_sets.COCO17) == NUM_COCO_JOINTS


def test_pack_and_load(shards: list[Path]) -> None:
    assert len(shards) > 1
    assert not list(shards[0].parent.glob(".*"))
    loaded = crops.load_crops(shards, workers=0)
    assert len(loaded) == 6
    assert loaded.source_names == ("coco",)
    assert loaded.images.shape == (6, pack.CROP_HEIGHT, pack.CROP_WIDTH, 3)
    with tarfile.open(shards[0]) as archive:
        names = archive.getnames()
        meta = json.loads(archive.extractfile(names[1]).read())  # type: ignore[union-attr]
    visible = np.reshape(meta["keypoints"], (17, 3))[:, 2] > 0
    assert loaded.labelled[0].tolist() == visible.tolist()
    for index in range(6):
        height, width = loaded.sizes[index].tolist()
        assert loaded.images[index, height:].sum() == 0
        assert loaded.images[index, :, width:].sum() == 0
        inside = loaded.keypoints[index][loaded.labelled[index]]
        low, size = loaded.boxes[index, :2], loaded.boxes[index, 2:]
        assert bool(((inside >= low - 2) & (inside <= low + size + 2)).all())


def test_workers_decode_the_same(shards: list[Path]) -> None:
    alone, pooled = crops.load_crops(shards, workers=0), crops.load_crops(shards, workers=2)
    assert torch.equal(alone.images, pooled.images)


def test_packed_crop_keeps_the_geometry() -> None:
    """A crop that is shrunk still shows each point where its keypoints say."""
    pixels = np.zeros((900, 900, 3), np.uint8)
    points = np.zeros((17, 3))
    points[:4] = [[300, 200, 2], [600, 250, 2], [350, 700, 1], [588, 655, 2]]
    for x, y, _ in points[:4]:
        cv2.circle(pixels, (int(x), int(y)), 12, (255, 255, 255), -1)
    box = (280.0, 180.0, 340.0, 540.0)
    crop, _, moved = pack.crop_person(Image.fromarray(pixels), box, points)
    assert crop.width <= pack.CROP_WIDTH
    assert crop.height <= pack.CROP_HEIGHT
    grey = np.asarray(crop, np.float64)[..., 0]
    for x, y, _ in moved[:4]:
        top, left = int(y) - 8, int(x) - 8
        window = grey[top : top + 18, left : left + 18]
        ys, xs = np.mgrid[top : top + 18, left : left + 18]
        found = np.array([(window * xs).sum(), (window * ys).sum()]) / window.sum()
        assert np.abs(found - (x, y)).max() < 0.1


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lpn-train pack"):
        crops.load_crops([])
    pack.write_shards([("a", b"x", b"{}")], tmp_path, "half", 1000)
    with tarfile.open(tmp_path / "half-000.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("b.webp"))
    with pytest.raises(ValueError, match="lack"):
        crops.read_shard(tmp_path / "half-000.tar")


def random_batch(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    images = np.stack([cv2.GaussianBlur(rng.integers(0, 256, (334, 250, 3), np.uint8), (5, 5), 0)
                       for _ in range(n)])  # fmt: skip
    boxes = torch.tensor(rng.uniform((30, 40, 80, 120), (60, 80, 150, 200), (n, 4))).float()
    points = torch.tensor(rng.uniform(40, 240, (n, 17, 2))).float()
    return torch.from_numpy(images), boxes, points, torch.ones(n, 17, dtype=torch.bool)


def test_plain_view_equals_bilinear_reference() -> None:
    images, boxes, _, _ = random_batch(8)
    maps = augment.plain_maps(boxes, HEIGHT, WIDTH)
    views = augment.sample_views(images, maps, HEIGHT, WIDTH).permute(0, 2, 3, 1).numpy()
    for index in range(8):
        x, y, w, h = boxes[index].double().tolist()
        scale = 1.25 * max(w, h * WIDTH / HEIGHT) / WIDTH
        cx, cy = x + w / 2, y + h / 2
        # Float64 bilinear reference of x' = (x - cx) / scale + W / 2, zero border.
        xs = (np.arange(WIDTH) - WIDTH / 2) * scale + cx
        ys = (np.arange(HEIGHT) - HEIGHT / 2) * scale + cy
        expected = bilinear(images[index].numpy().astype(np.float64) / 255, xs, ys)
        assert np.abs(views[index] - expected).max() <= 1e-4


def bilinear(image: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((400, 400), (400, 400), (0, 0)))
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    fx, fy = (xs - x0)[None, :, None], (ys - y0)[:, None, None]
    rows = padded[y0 + 400] * (1 - fy) + padded[y0 + 401] * fy
    return rows[:, x0 + 400] * (1 - fx) + rows[:, x0 + 401] * fx


def test_random_views_equal_reference() -> None:
    """Rotated, scaled, shifted and mirrored views and their keypoints, by an independent route."""
    images, boxes, points, labelled = random_batch(16)
    rng = np.random.default_rng(2)
    angle, scale = rng.uniform(-1.4, 1.4, 16), rng.uniform(0.7, 1.3, 16)
    shift, mirrored = rng.normal(0, 0.05, (16, 2)), rng.random(16) < 0.5
    maps = augment.compose_maps(
        boxes, HEIGHT, WIDTH, torch.tensor(angle).float(), torch.tensor(scale).float(),
        torch.tensor(shift).float(), torch.tensor(mirrored),
    )  # fmt: skip
    views = augment.sample_views(images, maps, HEIGHT, WIDTH).permute(0, 2, 3, 1).numpy()
    moved, seen = augment.map_keypoints(points, labelled, maps, HEIGHT, WIDTH)
    for index in range(16):
        x, y, w, h = boxes[index].double().tolist()
        padded = 1.25 * max(w, h * WIDTH / HEIGHT)
        centre = np.array((x + w / 2, y + h / 2)) + shift[index] * padded
        zoom = padded * scale[index] / WIDTH
        c, s = np.cos(angle[index]), np.sin(angle[index])
        turn = zoom * np.array(((c, -s), (s, c)))
        to_crop = np.column_stack((turn, centre - turn @ (WIDTH / 2, HEIGHT / 2)))
        image = images[index].numpy().astype(np.float32)
        ys, xs = np.mgrid[:HEIGHT, :WIDTH]
        place = np.stack((xs, ys, np.ones_like(xs)), -1) @ to_crop.T
        expected = bilinear_points(image / 255.0, place)
        target = (points[index].double().numpy() - to_crop[:, 2]) @ np.linalg.inv(turn).T
        if mirrored[index]:
            expected = expected[:, ::-1]
            target[:, 0] = WIDTH - 1 - target[:, 0]
            target = target[list(COCO_MIRROR)]
        assert np.abs(views[index] - expected).max() <= 1e-4
        assert np.abs(moved[index].numpy() - target).max() <= 1e-3
        inside = ((target > -0.5) & (target < (WIDTH - 0.5, HEIGHT - 0.5))).all(axis=1)
        assert seen[index].tolist() == inside.tolist()


def bilinear_points(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    padded = np.pad(image.astype(np.float64), ((600, 600), (600, 600), (0, 0)))
    low = np.floor(place).astype(int)
    fx, fy = (place - low)[..., :1], (place - low)[..., 1:]
    x, y = low[..., 0] + 600, low[..., 1] + 600
    top = padded[y, x] * (1 - fx) + padded[y, x + 1] * fx
    bottom = padded[y + 1, x] * (1 - fx) + padded[y + 1, x + 1] * fx
    return top * (1 - fy) + bottom * fy


def test_mirrored_view_is_the_view_mirrored() -> None:
    images, boxes, points, labelled = random_batch(4)
    zeros, flags = torch.zeros(4), torch.zeros(4, dtype=torch.bool)
    plain = augment.compose_maps(boxes, HEIGHT, WIDTH, zeros, zeros + 1, zeros[:, None], flags)
    turned = augment.compose_maps(boxes, HEIGHT, WIDTH, zeros, zeros + 1, zeros[:, None], ~flags)
    one = augment.sample_views(images, plain, HEIGHT, WIDTH)
    other = augment.sample_views(images, turned, HEIGHT, WIDTH)
    assert (one.flip(3) - other).abs().max() <= 1e-4
    places, _ = augment.map_keypoints(points, labelled, turned, HEIGHT, WIDTH)
    again, _ = augment.map_keypoints(points, labelled, plain, HEIGHT, WIDTH)
    back = places[:, list(COCO_MIRROR)]
    back[..., 0] = WIDTH - 1 - back[..., 0]
    assert (back - again).abs().max() <= 1e-3


def test_random_maps_keep_their_bounds_and_their_seed() -> None:
    _, boxes, _, _ = random_batch(4)
    boxes = boxes.repeat(500, 1)
    options = augment.Augmentation()

    def draw(seed: int) -> augment.ViewMaps:
        generator = torch.Generator().manual_seed(seed)
        return augment.random_maps(boxes, HEIGHT, WIDTH, options, generator)

    first, second = draw(5), draw(5)
    assert torch.equal(first.matrix, second.matrix)
    assert not torch.equal(first.matrix, draw(6).matrix)
    linear = first.matrix[:, :, :2] * torch.where(first.mirrored, -1.0, 1.0)[:, None, None]
    linear[:, :, 1] *= torch.where(first.mirrored, -1.0, 1.0)[:, None]
    padded = torch.maximum(boxes[:, 2], boxes[:, 3] * (WIDTH / HEIGHT)) * augment.PADDING
    zoom = linear[:, :, 0].norm(dim=1) / (padded / WIDTH)
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    assert zoom.min() >= 0.7 - 1e-4
    assert zoom.max() <= 1.3 + 1e-4
    assert angle.abs().max() <= 80 + 1e-3
    turned = (angle.abs() > 1e-3).float().mean().item()
    assert abs(turned - 0.6) < 0.05
    assert abs(first.mirrored.float().mean().item() - 0.5) < 0.05


def test_disturbance_changes_pixels_only_within_range() -> None:
    views = torch.rand(8, 3, 64, 48)
    generator = torch.Generator().manual_seed(0)
    options = augment.Augmentation(colour=0.3, paste_probability=1.0)
    changed = augment.disturb(views, options, generator)
    assert changed.shape == views.shape
    assert not torch.equal(changed, views)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert augment.disturb(views, augment.Augmentation(), generator) is views


def reference_target(x: float, y: float, width: int, height: int) -> tuple[np.ndarray, float]:
    """The official drawing: a 13 x 13 bell pasted with its corners clipped."""
    heatmap = np.zeros((height, width))
    mu_x, mu_y = int(x / 4 + 0.5), int(y / 4 + 0.5)
    left, top, right, bottom = mu_x - 6, mu_y - 6, mu_x + 7, mu_y + 7
    if left >= width or top >= height or right < 0 or bottom < 0:
        return heatmap, 0.0
    axis = np.arange(13)
    bell = np.exp(-((axis[None] - 6) ** 2 + (axis[:, None] - 6) ** 2) / (2 * 2.0**2))
    for v in range(max(top, 0), min(bottom, height)):
        for u in range(max(left, 0), min(right, width)):
            heatmap[v, u] = bell[v - top, u - left]
    return heatmap, 1.0


def test_targets_equal_the_official_drawing() -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform((-60, -60), (250, 320), (20, 17, 2)).astype(np.float32)
    points[0, :6] = [[0, 0], [191, 255], [-30, 20], [2, 6], [1.9999, 5.9999], [-26.1, 12]]
    labelled = rng.random((20, 17)) < 0.8
    maps, weights = gaussian_targets(
        torch.from_numpy(points), torch.from_numpy(labelled), height=64, width=48, stride=4
    )
    for n in range(20):
        for k in range(17):
            expected, weight = reference_target(*points[n, k].tolist(), 48, 64)
            weight *= labelled[n, k]
            assert weights[n, k].item() == weight
            assert np.abs(maps[n, k].numpy() - expected * weight).max() <= 1e-6
