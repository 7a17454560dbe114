"""A sheet of packed samples with their joints drawn, to look at before training on them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lpn_core.keypoints import COCO17
from lpn_core.model.keypoint_sets import load_keypoints
from lpn_core.poses import Poses
from PIL import Image

from lpn_training.data.shards import Sample, open_shard

CELL = (125, 167)
COLUMNS = 12
SAMPLES = 96


def draw_sheet(shards: Sequence[Path], path: Path, count: int = SAMPLES) -> None:
    """Write a picture of samples that lie evenly in shards, labels or the teacher's joints drawn.

    Args:
        shards: Tar files.
        path: Of the picture; its ending names the format.
        count: How many samples at most.

    Raises:
        ValueError: No sample, an unknown format, or a damaged shard.
    """
    samples = [sample for shard in shards for sample in open_shard(shard)]
    if not samples:
        raise ValueError(f"{', '.join(map(str, shards))} hold no sample to draw")
    count = min(count, len(samples))
    chosen = [samples[index * len(samples) // count] for index in range(count)]
    save_sheet(map(_drawn, chosen), path, COLUMNS)


def save_sheet(cells: Iterable[Image.Image], path: Path, columns: int) -> None:
    """Write pictures as one, row by row, each in a cell as large as the largest of them.

    Args:
        cells: At least one.
        path: Of the picture; its ending names the format.
        columns: How many cells in a row at most.
    """
    pictures = list(cells)
    columns = min(columns, len(pictures))
    width, height = (max(size) for size in zip(*(cell.size for cell in pictures), strict=True))
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for index, cell in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(cell, (column * width, row * height))
    sheet.save(path)


def _drawn(sample: Sample) -> Image.Image:
    with Image.open(io.BytesIO(sample.read())) as image:
        canvas: Image.Image = image.convert("RGB")
    points = joints_of(sample)
    if points is not None:
        box = np.array([sample.meta["box"]], np.float64)
        joints = load_keypoints(sample.meta.get("keypoint_set", COCO17.name))
        places, scores = points[None, :, :2].copy(), points[None, :, 2].copy()
        canvas = Poses(places, scores, box, np.ones(1), joints).draw(canvas)
    canvas.thumbnail(CELL, Image.Resampling.BICUBIC)
    return canvas


def joints_of(sample: Sample) -> npt.NDArray[np.float32] | None:
    """(K, 3) x, y, score of the labels, else of the teacher; None where there are neither."""
    for key in ("keypoints", "teacher_keypoints"):
        points = np.asarray(sample.meta.get(key, []), np.float32).reshape(-1, 3)
        if points[:, 2].any():
            if key == "keypoints":
                points[:, 2] = points[:, 2] > 0
            return points
    return None
