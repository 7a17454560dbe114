"""Synthetic data sets and crops that the tests of the training's data share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from lpn_core import keypoints as keypoint_sets
from PIL import Image

HEIGHT, WIDTH = 256, 192


def smooth(shape: tuple[int, int, int], seed: int = 0, kernel: int = 9) -> npt.NDArray[np.uint8]:
    """A blurred random picture (H, W, 3) uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (kernel, kernel), 0), np.uint8)


def make_coco(
    folder: Path, persons: int = 6, *, images: str = "images", suffix: str = ".png"
) -> tuple[Path, Path]:
    """A synthetic COCO keypoint data set: one person per image, and a crowd on the first."""
    rng = np.random.default_rng(0)
    (folder / images).mkdir(parents=True)
    records, annotations = [], []
    for index in range(persons):
        name = f"{index:04d}{suffix}"
        Image.fromarray(smooth((300, 400, 3), index)).save(folder / images / name)
        records.append({"id": index, "file_name": name, "width": 400, "height": 300})
        x, y, w, h = 60 + 10 * index, 30, 120 + 20 * index, 200
        points = np.stack((rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17),
                           rng.integers(0, 3, 17)), axis=1).round()  # fmt: skip
        points[points[:, 2] == 0] = 0
        annotations.append({"id": index + 1, "image_id": index, "bbox": [x, y, w, h],
                            "category_id": 1, "area": w * h * 0.53, "iscrowd": 0,
                            "num_keypoints": int((points[:, 2] > 0).sum()),
                            "keypoints": points.reshape(-1).tolist()})  # fmt: skip
    annotations.append({**annotations[0], "id": persons + 1, "iscrowd": 1})
    category = {"id": 1, "name": "person", "keypoints": list(keypoint_sets.COCO17.names)}
    content = {"images": records, "annotations": annotations, "categories": [category]}
    path = folder / "person_keypoints_val2017.json"
    path.write_text(json.dumps(content))
    return path, folder / images


def make_mpii(folder: Path, persons: int = 3) -> tuple[Path, list[dict[str, Any]]]:
    """A synthetic ``annot/valid.json`` with its images, 1-based as MPII's is."""
    rng = np.random.default_rng(5)
    (folder / "annot").mkdir(parents=True)
    (folder / "images").mkdir()
    entries = []
    for index in range(persons):
        Image.fromarray(smooth((360, 480, 3), index)).save(folder / "images" / f"{index}.jpg")
        joints = rng.uniform(80, 300, (16, 2)).round()
        visible = (rng.random(16) < 0.8).astype(int)
        joints[visible == 0] = -1
        entries.append({"image": f"{index}.jpg", "joints": joints.tolist(),
                        "joints_vis": visible.tolist(), "center": [200.0 + index, 180.0],
                        "scale": 1.1, "head_box": [150, 90, 180, 130]})  # fmt: skip
    path = folder / "annot" / "valid.json"
    path.write_text(json.dumps(entries))
    return path, entries
