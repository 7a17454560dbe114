"""Augmented views and keypoints against float64 NumPy and OpenCV, by independent routes."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

from lpn_core.model.spec import PADDING  # noqa: E402
from lpn_training.data import augment  # noqa: E402
from lpn_training.data.keypoints import COCO17, MPII16, JointSet  # noqa: E402
from training_data import HEIGHT, WIDTH, smooth  # noqa: E402


def random_batch(
    n: int, joints: int = 17
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    images = np.stack([smooth((334, 250, 3), seed, 5) for seed in range(n)])
    boxes = torch.tensor(rng.uniform((30, 40, 80, 120), (60, 80, 150, 200), (n, 4))).float()
    points = torch.tensor(rng.uniform(-20, 300, (n, joints, 2))).float()
    return torch.from_numpy(images), boxes, points, torch.tensor(rng.random((n, joints)) < 0.7)


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


def reference_map(box: list[float], angle: float, scale: float, shift: np.ndarray,
                  height: int, width: int) -> np.ndarray:  # fmt: skip
    """View to crop, as the official code has it: three points of each, and their affine map."""
    x, y, w, h = box
    size = 1.25 * max(w, h * width / height)
    centre = np.array((x + w / 2, y + h / 2)) + shift * size
    up = np.array((0, -0.5 * size * scale))
    sin, cos = np.sin(angle), np.cos(angle)
    turned = np.array((up[0] * cos - up[1] * sin, up[0] * sin + up[1] * cos))

    def three(first: np.ndarray, direction: np.ndarray) -> np.ndarray:
        second = first + direction
        back = first - second
        return np.stack((first, second, second + np.array((-back[1], back[0]))))

    crop = three(centre, turned)
    view = three(np.array((width / 2, height / 2)), np.array((0, -0.5 * width)))
    return np.linalg.solve(np.column_stack((view, np.ones(3))), crop).T


@pytest.mark.parametrize(("height", "width", "joints"), [(256, 192, COCO17), (256, 256, MPII16)])
def test_random_views_equal_reference(height: int, width: int, joints: JointSet) -> None:
    """Rotated, scaled, shifted and mirrored views and their keypoints."""
    images, boxes, points, labelled = random_batch(16, joints.size)
    rng = np.random.default_rng(2)
    angle, scale = rng.uniform(-1.4, 1.4, 16), rng.uniform(0.7, 1.3, 16)
    shift, mirrored = rng.normal(0, 0.05, (16, 2)), rng.random(16) < 0.5
    maps = augment.compose_maps(
        boxes, height, width, torch.tensor(angle), torch.tensor(scale), torch.tensor(shift),
        torch.tensor(mirrored),
    )  # fmt: skip
    views = augment.sample_views(images, maps, height, width).permute(0, 2, 3, 1).numpy()
    moved = augment.map_keypoints(points, maps, joints)
    seen = augment.swap_sides(labelled, maps.mirrored, joints)
    inside = augment.inside_view(moved, height, width)
    for index in range(16):
        to_crop = reference_map(
            boxes[index].double().tolist(), angle[index], scale[index], shift[index], height, width
        )
        ys, xs = np.mgrid[:height, :width]
        place = np.stack((xs, ys, np.ones_like(xs)), -1) @ to_crop.T
        expected = bilinear_points(images[index].numpy() / 255.0, place)
        target = cv2.transform(points[index].double().numpy()[None],
                               cv2.invertAffineTransform(to_crop))[0]  # fmt: skip
        flags = labelled[index].numpy()
        if mirrored[index]:
            expected = expected[:, ::-1]
            target[:, 0] = width - 1 - target[:, 0]
            target, flags = target[list(joints.mirror)], flags[list(joints.mirror)]
        assert np.abs(views[index] - expected).max() <= 1e-4
        assert np.abs(moved[index].numpy() - target).max() <= 1e-4
        assert seen[index].tolist() == flags.tolist()
        on = ((target > -0.5) & (target < (width - 0.5, height - 0.5))).all(axis=1)
        assert inside[index].tolist() == on.tolist()


def bilinear_points(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    padded = np.pad(image.astype(np.float64), ((600, 600), (600, 600), (0, 0)))
    low = np.floor(place).astype(int)
    fx, fy = (place - low)[..., :1], (place - low)[..., 1:]
    x, y = low[..., 0] + 600, low[..., 1] + 600
    top = padded[y, x] * (1 - fx) + padded[y, x + 1] * fx
    bottom = padded[y + 1, x] * (1 - fx) + padded[y + 1, x + 1] * fx
    return top * (1 - fy) + bottom * fy


@pytest.mark.parametrize("joints", [COCO17, MPII16])
def test_flip_round_trip(joints: JointSet) -> None:
    """A mirrored view is the view mirrored; its keypoints and labels come back by mirroring."""
    images, boxes, points, labelled = random_batch(4, joints.size)
    zeros, flags = torch.zeros(4), torch.zeros(4, dtype=torch.bool)
    plain = augment.compose_maps(boxes, HEIGHT, WIDTH, zeros, zeros + 1, zeros[:, None], flags)
    turned = augment.compose_maps(boxes, HEIGHT, WIDTH, zeros, zeros + 1, zeros[:, None], ~flags)
    one = augment.sample_views(images, plain, HEIGHT, WIDTH)
    other = augment.sample_views(images, turned, HEIGHT, WIDTH)
    assert (one.flip(3) - other).abs().max() <= 1e-4
    places = augment.map_keypoints(points, turned, joints)
    assert not torch.allclose(places, augment.map_keypoints(points, plain, joints))
    back = places[:, list(joints.mirror)]
    back[..., 0] = WIDTH - 1 - back[..., 0]
    assert (back - augment.map_keypoints(points, plain, joints)).abs().max() <= 1e-4
    for values in (points, labelled):
        once = augment.swap_sides(values, ~flags, joints)
        assert torch.equal(augment.swap_sides(once, ~flags, joints), values)
        assert torch.equal(once, values[:, list(joints.mirror)])
        assert torch.equal(augment.swap_sides(values, flags, joints), values)


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
    padded = torch.maximum(boxes[:, 2], boxes[:, 3] * (WIDTH / HEIGHT)) * PADDING
    zoom = linear[:, :, 0].norm(dim=1) / (padded / WIDTH)
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    assert zoom.min() >= 0.7 - 1e-4
    assert zoom.max() <= 1.3 + 1e-4
    assert angle.abs().max() <= 80 + 1e-3
    turned = (angle.abs() > 1e-3).float().mean().item()
    assert abs(turned - 0.6) < 0.05
    assert abs(first.mirrored.float().mean().item() - 0.5) < 0.05


def test_disturbance_changes_pixels_only_within_range() -> None:
    generator = torch.Generator().manual_seed(0)
    views = torch.rand(8, 3, 64, 48, generator=generator)
    options = augment.Augmentation(colour=0.3, paste_probability=1.0)
    changed = augment.disturb(views, options, generator)
    assert changed.shape == views.shape
    assert not torch.equal(changed, views)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert augment.disturb(views, augment.Augmentation(), generator) is views
