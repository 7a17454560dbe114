"""Person crops from tar shards, decoded once into one uint8 tensor."""

from __future__ import annotations

import io
import json
import logging
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lpn_training.data.keypoints import NUM_COCO_JOINTS
from lpn_training.data.pack import CROP_HEIGHT, CROP_WIDTH

logger = logging.getLogger(__name__)

# Decoding is handed to worker processes in pieces of this many samples.
CHUNK = 128


@dataclass
class CropSet:
    """N person crops, all tensors on one device.

    Attributes:
        images: (N, 334, 250, 3) uint8 RGB, the crop at the top left, black elsewhere.
        sizes: (N, 2) int32 true height and width.
        boxes: (N, 4) float32 xywh in crop pixels.
        keypoints: (N, 17, 2) float32 x, y in crop pixels.
        labelled: (N, 17) bool, True where the keypoint is an annotation.
        sources: (N,) int64 index into ``source_names``.
        source_names: Names of the data sources.
    """

    images: Tensor
    sizes: Tensor
    boxes: Tensor
    keypoints: Tensor
    labelled: Tensor
    sources: Tensor
    source_names: tuple[str, ...]

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device) -> CropSet:
        """Copy every tensor to a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "source_names"
        }
        return CropSet(**moved, source_names=self.source_names)


def parse_keypoints(
    meta: dict[str, Any], name: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Keypoints (17, 2) and which of them are labelled, of one sample's JSON."""
    if "keypoints" not in meta:
        return np.zeros((NUM_COCO_JOINTS, 2), np.float32), np.zeros(NUM_COCO_JOINTS, np.bool_)
    values = np.asarray(meta["keypoints"], np.float32)
    if values.shape != (3 * NUM_COCO_JOINTS,):
        raise ValueError(
            f"{name}: keypoints hold {values.size} values; {3 * NUM_COCO_JOINTS} are wanted, "
            "x, y, v of each COCO joint"
        )
    values = values.reshape(NUM_COCO_JOINTS, 3)
    labelled = values[:, 2] > 0
    if "labelled_joints" in meta:
        allowed = np.zeros(NUM_COCO_JOINTS, np.bool_)
        allowed[meta["labelled_joints"]] = True
        labelled &= allowed
    return values[:, :2].copy(), labelled


def decode_images(encoded: list[bytes]) -> list[npt.NDArray[np.uint8]]:
    """Decode images to (H, W, 3) uint8 RGB."""
    decoded = []
    for data in encoded:
        with Image.open(io.BytesIO(data)) as image:
            decoded.append(np.asarray(image.convert("RGB"), np.uint8))
    return decoded


def read_shard(path: Path) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Read the (key, image bytes, metadata) samples of one tar shard, in the tar's order."""
    images: dict[str, bytes] = {}
    metas: dict[str, dict[str, Any]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            handle = archive.extractfile(member)
            if handle is None:
                continue
            key, _, suffix = member.name.partition(".")
            data = handle.read()
            if suffix == "json":
                metas[key] = json.loads(data)
            else:
                images[key] = data
    odd = sorted(set(images) ^ set(metas))
    if odd:
        raise ValueError(f"{path}: {len(odd)} samples lack an image or a json, first {odd[0]!r}")
    return [(key, images[key], metas[key]) for key in images]


def load_crops(shards: Sequence[Path], *, workers: int = -1, limit: int | None = None) -> CropSet:
    """Read and decode shards.

    Args:
        shards: Tar files as ``lpn-train pack`` writes them; order matters for reproducibility.
        workers: Decoding processes; -1 means one per available core, 0 decodes in this process.
        limit: Keep only the first so many samples of each shard.

    Raises:
        ValueError: No shard, an incomplete sample, or an image larger than 250 x 334.
    """
    if not shards:
        raise ValueError("no shards were given; make them with `lpn-train pack`")
    samples = [sample for shard in shards for sample in read_shard(shard)[:limit]]
    count = len(samples)
    images = np.zeros((count, CROP_HEIGHT, CROP_WIDTH, 3), np.uint8)
    sizes = np.zeros((count, 2), np.int32)
    chunks = [
        [data for _, data, _ in samples[start : start + CHUNK]] for start in range(0, count, CHUNK)
    ]

    def store(start: int, decoded: list[npt.NDArray[np.uint8]]) -> None:
        for index, image in enumerate(decoded, start):
            height, width = image.shape[:2]
            if height > CROP_HEIGHT or width > CROP_WIDTH:
                raise ValueError(
                    f"{samples[index][0]}: the crop is {width} x {height} px; "
                    f"at most {CROP_WIDTH} x {CROP_HEIGHT} fit"
                )
            images[index, :height, :width] = image
            sizes[index] = height, width

    workers = len(os.sched_getaffinity(0)) if workers < 0 else workers
    if workers > 0:
        # A forked child of a process with CUDA or OpenMP threads can hang; spawn cannot.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for index, decoded in enumerate(pool.map(decode_images, chunks)):
                store(index * CHUNK, decoded)
    else:
        for index, chunk in enumerate(chunks):
            store(index * CHUNK, decode_images(chunk))

    names = tuple(sorted({meta["source"] for _, _, meta in samples}))
    points = [parse_keypoints(meta, key) for key, _, meta in samples]
    logger.info("loaded %d crops of %s", count, ", ".join(names))
    return CropSet(
        images=torch.from_numpy(images),
        sizes=torch.from_numpy(sizes),
        boxes=torch.tensor([meta["box"] for _, _, meta in samples], dtype=torch.float32),
        keypoints=torch.from_numpy(np.stack([p for p, _ in points])),
        labelled=torch.from_numpy(np.stack([v for _, v in points])),
        sources=torch.tensor([names.index(meta["source"]) for _, _, meta in samples]),
        source_names=names,
    )
