"""Small COCO data sets on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def coco_content(people: list[tuple[int, list[float]]], labels: int = 17) -> dict[str, Any]:
    """Annotations of 100 x 80 images; each person's labelled joints are in the box's centre."""
    annotations = []
    for index, (image_id, (x, y, w, h)) in enumerate(people):
        joint = [x + w / 2, y + h / 2, 2]
        annotations.append(
            {"id": index + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": w * h,
             "bbox": [x, y, w, h], "num_keypoints": labels,
             "keypoints": joint * labels + [0, 0, 0] * (17 - labels)}
        )  # fmt: skip
    ids = sorted({image_id for image_id, _ in people})
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 80} for i in ids],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def write_json(folder: Path, content: object, name: str = "person_keypoints_some.json") -> Path:
    """Writes ``folder / name``."""
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (80, 100)) -> None:
    """Noise of (height, width) ``size``."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_dataset(folder: Path) -> Path:
    """Three images: 5 with two people and a crowd, 6 with an unlabelled person, 7 with one."""
    content = coco_content(
        [(5, [10.0, 10.0, 30.0, 40.0]), (5, [-20.0, 5.0, 60.0, 90.0]), (5, [0.0, 0.0, 9.0, 9.0]),
         (6, [1.0, 2.0, 30.0, 30.0]), (7, [50.0, 20.0, 20.0, 50.0]), (7, [5.0, 5.0, 0.0, 9.0])]
    )  # fmt: skip
    content["annotations"][2]["iscrowd"] = 1
    content["annotations"][3].update(keypoints=[0] * 51, num_keypoints=0)
    for image in (5, 6, 7):
        write_picture(folder / f"{image}.png", seed=image)
    return write_json(folder, content)
