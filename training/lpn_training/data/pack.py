"""Pack COCO keypoint annotations into WebDataset tar shards of person crops."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

CROP_WIDTH = 250
CROP_HEIGHT = 334
# The model sees 1.25 x the box; 1.3 x that leaves room for the scale augmentation.
CROP_PADDING = 1.625
ASPECT = 3 / 4


def clip_box(box: Iterable[float], width: int, height: int) -> tuple[float, float, float, float]:
    """Clip an xywh box to the image as the official evaluation does (last pixel inclusive)."""
    x, y, w, h = (float(v) for v in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(width - 1.0, left + max(0.0, w - 1.0))
    bottom = min(height - 1.0, top + max(0.0, h - 1.0))
    return left, top, right - left, bottom - top


def grow_to_aspect(width: float, height: float) -> tuple[float, float]:
    """Grow the shorter side of a box so that width : height is 3 : 4."""
    return max(width, height * ASPECT), max(height, width / ASPECT)


def crop_person(
    image: Image.Image,
    box: tuple[float, float, float, float],
    keypoints: npt.NDArray[np.float64],
) -> tuple[Image.Image, list[float], npt.NDArray[np.float64]]:
    """Cut the surroundings of one person, at most 250 x 334 px, black outside the image.

    Args:
        image: RGB image.
        box: xywh in image pixels.
        keypoints: (K, 3) x, y, v in image pixels.

    Returns:
        The crop, the box and the keypoints in crop pixels (x, y rounded to 0.01).
    """
    x, y, w, h = box
    grown_w, grown_h = (CROP_PADDING * side for side in grow_to_aspect(w, h))
    left, top = math.floor(x + (w - grown_w) / 2), math.floor(y + (h - grown_h) / 2)
    right = max(left + 1, math.ceil(x + (w + grown_w) / 2))
    bottom = max(top + 1, math.ceil(y + (h + grown_h) / 2))
    crop = image.crop((left, top, right, bottom))
    shrink = min(1.0, CROP_WIDTH / crop.width, CROP_HEIGHT / crop.height)
    size = (max(1, round(crop.width * shrink)), max(1, round(crop.height * shrink)))
    sx, sy = size[0] / crop.width, size[1] / crop.height
    if size != crop.size:
        crop = crop.resize(size, Image.Resampling.BICUBIC)
    moved = keypoints.copy()
    # Pixel i covers [i, i + 1): a resize keeps i + 0.5 in proportion.
    moved[:, 0] = np.round((keypoints[:, 0] + 0.5 - left) * sx - 0.5, 2)
    moved[:, 1] = np.round((keypoints[:, 1] + 0.5 - top) * sy - 0.5, 2)
    moved[keypoints[:, 2] == 0] = 0.0
    crop_box = [(x + 0.5 - left) * sx - 0.5, (y + 0.5 - top) * sy - 0.5, w * sx, h * sy]
    return crop, [round(v, 2) for v in crop_box], moved


def coco_crops(
    annotations: Path, images: Path, source: str, quality: int
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (key, webp bytes, json bytes) of every person of a COCO keypoint file."""
    content = json.loads(annotations.read_text())
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd", 0):
            by_image[annotation["image_id"]].append(annotation)
    for record in tqdm(content["images"], desc=f"pack {source}", unit="image"):
        if not by_image[record["id"]]:
            continue
        with Image.open(images / record["file_name"]) as opened:
            image = opened.convert("RGB")
        for annotation in by_image[record["id"]]:
            box = clip_box(annotation["bbox"], image.width, image.height)
            if box[2] <= 0 or box[3] <= 0:
                continue
            points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
            crop, crop_box, moved = crop_person(image, box, points)
            encoded = io.BytesIO()
            crop.save(encoded, "WEBP", quality=quality)
            meta = {
                "source": source,
                "image": record["file_name"],
                "box": crop_box,
                "keypoints": moved.reshape(-1).tolist(),
            }
            key = f"{source}_{annotation['id']:012d}"
            yield key, encoded.getvalue(), json.dumps(meta).encode()


def write_shards(
    samples: Iterable[tuple[str, bytes, bytes]], output: Path, prefix: str, shard_bytes: int
) -> list[Path]:
    """Write (key, webp, json) samples as ``PREFIX-000.tar``...; each shard appears whole or not."""
    output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    archive: tarfile.TarFile | None = None
    temporary = output / f".{prefix}.tar.tmp"
    size = 0

    def finish() -> None:
        if archive is not None:
            archive.close()
            target = output / f"{prefix}-{len(written):03d}.tar"
            temporary.replace(target)
            written.append(target)

    try:
        for key, webp, meta in samples:
            if archive is None or size >= shard_bytes:
                finish()
                # Closed by finish(), before the rename.
                archive, size = tarfile.open(temporary, "w"), 0  # noqa: SIM115
            for suffix, data in (("webp", webp), ("json", meta)):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                size += 512 + (len(data) + 511) // 512 * 512
        finish()
    finally:
        temporary.unlink(missing_ok=True)
    return written


def pack_coco(
    annotations: Path,
    images: Path,
    output: Path,
    *,
    source: str = "coco",
    quality: int = 80,
    shard_bytes: int = 16 << 20,
) -> list[Path]:
    """Pack every labelled or unlabelled, non-crowd person of a COCO keypoint file.

    Args:
        annotations: ``person_keypoints_*.json``.
        images: Folder that holds each image's ``file_name`` (any encoding Pillow reads).
        output: Folder for ``SOURCE-000.tar``, ``SOURCE-001.tar``, ...
        source: Name written into each sample and used as the shards' prefix.
        quality: WebP quality, 0..100.
        shard_bytes: A shard is closed once it holds this much.

    Returns:
        The shards, in order.
    """
    samples = coco_crops(annotations, images, source, quality)
    return write_shards(samples, output, source, shard_bytes)
