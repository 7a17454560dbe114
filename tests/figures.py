"""A small COCO data set that is drawn: stick figures whose joints are where the file says.

Every joint is a disc in its own colour; of a pair's discs the left joint's has its left half white
and the right joint's its right half, so that a mirrored picture is one of exchanged joints.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 240, 180
WHITE = (255, 255, 255)
# The nose, and each pair from the eyes down to the ankles.
COLOURS = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255),
    (255, 128, 0), (128, 0, 255), (0, 128, 64),
)  # fmt: skip
# COCO's joints in a box of 1 x 2, facing the camera: the left side is on the right.
UPRIGHT = np.array(
    [(0.50, 0.20), (0.62, 0.10), (0.38, 0.10), (0.76, 0.18), (0.24, 0.18), (0.80, 0.48),
     (0.20, 0.48), (0.92, 0.78), (0.08, 0.78), (0.94, 1.06), (0.06, 1.06), (0.70, 1.06),
     (0.30, 1.06), (0.72, 1.48), (0.28, 1.48), (0.74, 1.90), (0.26, 1.90)]
)  # fmt: skip
LIMBS = ((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15),
         (12, 14), (14, 16))  # fmt: skip
# Image by image (x, y, width) of the figures' boxes, twice as high as wide: large, medium, cut off
# at the border, side by side, and nobody.
FIGURES: tuple[tuple[tuple[float, float, float], ...], ...] = (
    ((75.5, 2.25, 88),),
    ((20, 30.5, 45), (120.75, 40, 60)),
    ((-12.5, 20, 66), (150, 5, 70.5)),
    ((60.25, 90, 38), (110, 86.5, 41), (160, 10, 72)),
    (),
    ((20.5, 6, 84), (140, 60.25, 52)),
)


def colour_of(joint: int) -> tuple[int, int, int]:
    return COLOURS[(joint + 1) // 2]


def _draw(pixels: NDArray[np.uint8], joints: NDArray[np.float64], radius: float) -> None:
    """Limbs in grey, then a disc of ``radius`` around each joint."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    for a, b in LIMBS:
        along = joints[b] - joints[a]
        t = ((x - joints[a, 0]) * along[0] + (y - joints[a, 1]) * along[1]) / (along @ along)
        nearest = joints[a] + np.clip(t, 0, 1)[..., None] * along
        pixels[np.hypot(x - nearest[..., 0], y - nearest[..., 1]) <= radius / 3] = 60
    for joint, (at_x, at_y) in enumerate(joints):
        disc = np.hypot(x - at_x, y - at_y) <= radius
        pixels[disc] = colour_of(joint)
        if joint:
            pixels[disc & ((x < at_x) == (joint % 2 == 1))] = WHITE


def write_figures(folder: Path) -> Path:
    """Writes six PNG files and ``person_keypoints_figures.json``; the same at every call."""
    from PIL import Image

    generator = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, figures in enumerate(FIGURES, start=11):
        ramp = np.linspace(90, 150, WIDTH)[None, :, None] + generator.uniform(-10, 10, 3)
        pixels = np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).round().astype(np.uint8)
        for left, top, width in figures:
            joints = UPRIGHT * width + (left, top)
            joints += generator.uniform(-0.04, 0.04, joints.shape) * width
            _draw(pixels, joints, 0.055 * width)
            outside = (joints < 0).any(1) | (joints > (WIDTH - 1, HEIGHT - 1)).any(1)
            # One joint in twelve is hidden, as annotators would guess it.
            seen = np.where(generator.random(17) < 1 / 12, 1, 2) * ~outside
            triples = np.column_stack([joints.round(2), seen]) * (seen > 0)[:, None]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0,
                 "bbox": [left, top, width, 2.0 * width], "area": 1.3 * width**2,
                 "num_keypoints": int((seen > 0).sum()), "keypoints": triples.reshape(-1).tolist()}
            )  # fmt: skip
        name = f"{image_id}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": image_id, "file_name": name, "width": WIDTH, "height": HEIGHT})
    category = {"id": 1, "name": "person"}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    path = folder / "person_keypoints_figures.json"
    path.write_text(json.dumps(content))
    return path
