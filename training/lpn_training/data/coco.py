"""COCO keypoint annotations and images, for evaluation with ground-truth boxes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lpn_core.preprocess import clip_box
from PIL import Image


@dataclass(frozen=True)
class CocoImage:
    """One image and the persons to find in it.

    Attributes:
        image_id: COCO's.
        pixels: (H, W, 3) uint8 RGB, not turned by EXIF (COCO's annotations ignore it).
        boxes: (N, 4) float64 xywh.
    """

    image_id: int
    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float64]


class CocoPersons:
    """Labelled persons of a COCO keypoint file, image by image.

    Args:
        annotations: ``person_keypoints_*.json``.
        images: Folder that holds each image's ``file_name``.
        limit: Only the first so many images that show a labelled person (0: all).
        clip: Clip boxes as the official LPN code does, which also shortens each by one pixel;
            small persons notice (0.01 AP on a few hundred persons).

    Raises:
        ValueError: No annotation with a labelled joint.
    """

    def __init__(
        self, annotations: Path, images: Path, *, limit: int = 0, clip: bool = False
    ) -> None:
        self.content: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8"))
        self.images = images
        self.clip = clip
        persons: dict[int, list[list[float]]] = defaultdict(list)
        for annotation in self.content["annotations"]:
            labelled = any(annotation["keypoints"][2::3])
            if labelled and not annotation.get("iscrowd", 0) and annotation["area"] > 0:
                persons[annotation["image_id"]].append(annotation["bbox"])
        if not persons:
            raise ValueError(f"{annotations} holds no person with a labelled joint")
        records = [record for record in self.content["images"] if record["id"] in persons]
        self.records = records[:limit] if limit else records
        self._boxes = {key: np.array(boxes, np.float64) for key, boxes in persons.items()}

    def __len__(self) -> int:
        return len(self.records)

    @property
    def image_ids(self) -> list[int]:
        """Ids of the images that are iterated over."""
        return [record["id"] for record in self.records]

    def __iter__(self) -> Iterator[CocoImage]:
        for record in self.records:
            path = self.images / record["file_name"]
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"), np.uint8)
            boxes = self._boxes[record["id"]]
            if self.clip:
                boxes = clip_box(boxes, pixels.shape[1], pixels.shape[0])
            boxes = boxes[(boxes[:, 2:] > 0).all(axis=1)]
            yield CocoImage(record["id"], pixels, boxes)
