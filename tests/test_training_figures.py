"""Drawn pictures through packing and augmentation to targets: labels stay on what they name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

from figures import colour_of, write_figures  # noqa: E402
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.config import config_from_dict  # noqa: E402
from lpn_training.data.crops import load_crops  # noqa: E402
from lpn_training.data.pack import PackOptions, pack  # noqa: E402

PALETTE = np.array([colour_of(joint) for joint in range(0, 17, 2)] + [(255, 255, 255)], float)
SHOULDERS, HIPS = [5, 6], [11, 12]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("figures")
    annotations = write_figures(folder)
    return pack(annotations, folder, folder / "shards", PackOptions("figures"), workers=0)


def paint_around(pixels: np.ndarray, joint: int, at: np.ndarray, radius: float) -> np.ndarray:
    """Offsets from ``at`` of the pixels (H, W, 3) within ``radius`` that show the joint's paint.

    Nearer to it than to white, to the greys of background and limbs, and to other joints' paints.
    """
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    near = np.hypot(x - at[0], y - at[1]) <= radius
    colours = np.vstack([PALETTE, (120, 120, 120), (60, 60, 60)])
    nearest = np.abs(pixels[near][:, None] - colours).sum(axis=2).argmin(axis=1)
    offsets = np.column_stack([x[near] - at[0], y[near] - at[1]])
    found: np.ndarray = offsets[nearest == (joint + 1) // 2]
    return found


def sides_of_paint(
    pixels: np.ndarray, joints: np.ndarray, seen: np.ndarray, radius: float
) -> list[bool]:
    """Of each seen joint below the face, whether its paint lies to its own side.

    Discs of the face overlap.
    """
    axis = joints[5] - joints[6]
    right_ways = []
    for joint in 5 + np.flatnonzero(seen[5:]):
        paint = paint_around(pixels, joint, joints[joint], radius)
        side = float((paint.sum(axis=0) * axis).sum())
        right_ways.append(side > 0 if joint % 2 else side < 0)
    return right_ways


def test_packed_joints_are_on_their_paint(shards: list[Path]) -> None:
    crops = load_crops(shards, workers=0)
    assert len(crops) == 10
    ways = []
    for pixels, points, labelled, box in zip(
        crops.images, crops.keypoints, crops.labelled, crops.boxes, strict=True
    ):
        radius = 0.055 * float(box[2])
        if radius < 3 or not labelled[SHOULDERS].all():
            continue
        ways += sides_of_paint(
            pixels.numpy().astype(float), points.numpy(), labelled.numpy(), radius
        )
    assert len(ways) > 60
    assert all(ways)


def test_targets_are_on_the_paint_of_their_joints(shards: list[Path]) -> None:
    """Turned, scaled and mirrored views: a peak of joint k lies on the disc of joint k."""
    config = config_from_dict(
        {
            "data": {"shards": [str(path) for path in shards], "workers": 0},
            "train": {"device": "cpu", "batch_size": 9, "seed": 3},
        }
    )
    assert (config.model.height, config.model.width) == (256, 192)
    source = BatchSource(config, torch.device("cpu"))
    ways, views = [], 0
    for step in range(3):
        batch = source.draw(step)
        pixels = batch.views.permute(0, 2, 3, 1).numpy() * IMAGENET_STD + IMAGENET_MEAN
        for view, maps, weights in zip(
            pixels * 255, batch.targets.numpy(), batch.weights.numpy(), strict=True
        ):
            peaks = maps.reshape(17, -1).argmax(axis=1)
            joints = np.column_stack([peaks % 48, peaks // 48]) * 4.0
            # Peaks at the very border may be of joints beyond it.
            seen = (weights > 0) & (joints > 8).all(axis=1) & (joints < (180, 244)).all(axis=1)
            if not seen[[*SHOULDERS, *HIPS]].all():
                continue
            up = joints[SHOULDERS].mean(axis=0) - joints[HIPS].mean(axis=0)
            left = joints[5] - joints[6]
            # Facing the camera, mirrored or not: the left shoulder is clockwise from upwards.
            assert up[0] * left[1] - up[1] * left[0] > 0
            views += 1
            ways += sides_of_paint(view, joints, seen, 8.4 * 0.7)
    assert views > 12
    # Some peaks miss a small disc's half: a figure 38 px wide has discs of 2 px, in WebP's colours.
    assert np.mean(ways) > 0.9
