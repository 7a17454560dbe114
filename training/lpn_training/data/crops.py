"""Person crops from tar shards: all in one uint8 tensor where that fits, else decoded on demand."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lpn_core.evaluation.categories import FILLED
from lpn_core.image.file import open_image
from lpn_core.model.keypoint_sets import load_keypoints
from PIL.Image import Image
from torch import Tensor

from lpn_training.data.keypoints import COCO17, JointSet, joint_set_of
from lpn_training.data.shards import REPAIR, Sample, open_shard, picture_number, shard_hash
from lpn_training.data.workers import make_pool, processes_here, worker_count

logger = logging.getLogger(__name__)

# Decoding is handed to worker processes in pieces of this many samples.
CHUNK = 64
# Held crops may take this part of the device's memory; the rest is the training's.
HELD_PART = 0.5
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
STORAGES = ("auto", "held", "streamed")


class StreamedImages:
    """Crops that stay in their shards and are decoded when asked for.

    Indexing by a slice or an index tensor gives (n, H, W, 3) uint8 on the device, as it would for
    the tensor of all crops.
    """

    def __init__(
        self, samples: Sequence[Sample], height: int, width: int, device: torch.device, workers: int
    ) -> None:
        # The JSON need not travel to the workers.
        self._samples = [replace(sample, meta={}) for sample in samples]
        self._height, self._width = height, width
        self._device = device
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            self._pool = make_pool(workers, own_session=True)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        return len(self._samples), self._height, self._width, 3

    def to(self, device: torch.device) -> StreamedImages:
        """Give further crops on another device."""
        self._device = device
        return self

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        if isinstance(chosen, slice):
            chosen = torch.arange(*chosen.indices(len(self._samples)))
        return self.begin(chosen)()

    def begin(self, chosen: Tensor) -> Callable[[], Tensor]:
        """Have the workers decode crops; what is returned waits for them and gives the tensor."""
        samples = [self._samples[index] for index in chosen.tolist()]
        # Every worker has a part of a small batch.
        size = max(1, min(CHUNK, -(-len(samples) // max(1, self._workers))))
        pieces = [samples[at : at + size] for at in range(0, len(samples), size)]
        height, width, device = self._height, self._width, self._device
        if self._pool is None:

            def collect() -> list[npt.NDArray[np.uint8]]:
                return [decode_samples(piece, height, width) for piece in pieces]
        else:
            futures = [self._pool.submit(decode_samples, piece, height, width) for piece in pieces]

            def collect() -> list[npt.NDArray[np.uint8]]:
                return [future.result() for future in futures]

        return lambda: to_device(torch.from_numpy(np.concatenate(collect())), device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy from the host; a GPU gets it while it works on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass
class CropSet:
    """N person crops of K joints, all tensors on one device.

    Attributes:
        images: (N, H, W, 3) uint8 RGB, the crop at the top left, black elsewhere: a tensor, or
            what gives parts of it on demand.
        sizes: (N, 2) int32 true height and width.
        boxes: (N, 4) float32 xywh in crop pixels.
        keypoints: (N, K, 2) float32 x, y in crop pixels.
        labelled: (N, K) bool, True where the keypoint is an annotation.
        areas: (N,) float32 the persons' areas in square crop pixels, which OKS is measured in.
        sources: (N,) int64 index into ``source_names``.
        teacher_keypoints: (N, K, 3) float32 x, y in crop pixels and confidence, the teacher's
            predictions that came with the shards; NaN where none did.
        lots: (N,) float64 in [0, 1), decided by the name of the picture.
        source_names: Names of the data sources.
        joints: Which K joints.
        pictures: N names of the pictures that the crops were cut from.
        origin: SHA-256 of the shards' bytes, in hexadecimal.
    """

    images: Tensor | StreamedImages
    sizes: Tensor
    boxes: Tensor
    keypoints: Tensor
    labelled: Tensor
    areas: Tensor
    sources: Tensor
    teacher_keypoints: Tensor
    lots: Tensor
    source_names: tuple[str, ...]
    joints: JointSet = COCO17
    pictures: tuple[str, ...] = ()
    origin: str = ""

    def __len__(self) -> int:
        return self.boxes.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.boxes.device

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, that tells these crops and what is known of them from others.

        The shards' bytes stand for pixels and labels, the tensors for which crops were taken.
        """
        found = hashlib.sha256(self.origin.encode())
        for tensor in (self.boxes, self.keypoints, self.sizes):
            found.update(tensor.cpu().numpy().tobytes())
        return found.hexdigest()

    def part(self, chosen: Tensor) -> CropSet:
        """Copy the crops of some indices (n,) int64."""
        taken: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor | StreamedImages):
                taken[field.name] = value[chosen]
        if self.pictures:
            taken["pictures"] = tuple(self.pictures[index] for index in chosen.tolist())
        return replace(self, **taken)

    def to(self, device: torch.device) -> CropSet:
        """Copy every tensor to a device."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor | StreamedImages):
                moved[field.name] = value.to(device)
        return replace(self, **moved)


def parse_keypoints(
    meta: dict[str, Any], joints: JointSet, name: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Keypoints (K, 2) and which of them are labelled, of one sample's JSON."""
    if "keypoints" not in meta:
        return np.zeros((joints.size, 2), np.float32), np.zeros(joints.size, np.bool_)
    values = np.asarray(meta["keypoints"], np.float32)
    if values.shape != (3 * joints.size,):
        raise ValueError(
            f"{name}: keypoints hold {values.size} values; {3 * joints.size} are wanted, "
            f"x, y, v of each joint of {joints.name}"
        )
    values = values.reshape(joints.size, 3)
    labelled = values[:, 2] > 0
    if "labelled_joints" in meta:
        wanted = meta["labelled_joints"]
        if not (isinstance(wanted, list) and set(wanted) <= set(range(joints.size))):
            raise ValueError(
                f"{name}: labelled_joints is {wanted}; wanted a list of joints from 0 to "
                f"{joints.size - 1}"
            )
        labelled &= np.isin(np.arange(joints.size), wanted)
    return values[:, :2].copy(), labelled


def person_area(meta: dict[str, Any]) -> float:
    """The annotated area, or that of its box as COCO's persons fill theirs."""
    _, _, width, height = meta["box"]
    return float(meta.get("area", FILLED * width * height))


def parse_teacher_keypoints(
    meta: dict[str, Any], joints: JointSet, teacher: str | None, name: str
) -> npt.NDArray[np.float32]:
    """(K, 3) x, y, confidence that one sample's JSON has of a teacher; NaN where it has none."""
    if "teacher_keypoints" not in meta or teacher is None or meta.get("teacher") != teacher:
        return np.full((joints.size, 3), np.nan, np.float32)
    values = np.asarray(meta["teacher_keypoints"], np.float32)
    if values.shape != (3 * joints.size,) or not np.isfinite(values).all():
        raise ValueError(
            f"{name}: teacher_keypoints hold {values.size} values; {3 * joints.size} numbers are "
            f"wanted, x, y, confidence of each joint of {joints.name}"
        )
    return values.reshape(joints.size, 3)


def joint_set(samples: Sequence[Sample]) -> JointSet:
    """The one keypoint set of all samples; COCO's where a sample names none.

    Raises:
        ValueError: An unknown set, or several.
    """
    found: dict[JointSet, Sample] = {}
    known: dict[str, JointSet] = {}
    for sample in samples:
        value = sample.meta.get("keypoint_set", COCO17.name)
        text = json.dumps(value)
        if text not in known:
            try:
                known[text] = joint_set_of(load_keypoints(value))
            except ValueError as error:
                raise ValueError(f"{sample.shard}: {sample.member}: {error}; {REPAIR}") from None
        found.setdefault(known[text], sample)
    if len(found) > 1:
        names = " and ".join(sorted({joints.name for joints in found}))
        raise ValueError(
            f"the shards hold keypoints of {names}, {len(found)} sets; train on one set"
        )
    return next(iter(found))


@contextlib.contextmanager
def _open(sample: Sample) -> Iterator[Image]:
    try:
        with open_image(io.BytesIO(sample.read()), "the image") as image:
            yield image
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{sample.shard}: member {sample.member} cannot be decoded: {error}; {REPAIR}"
        ) from error


def image_size(sample: Sample) -> tuple[int, int]:
    """Height and width by the image's header."""
    with _open(sample) as image:
        return image.height, image.width


def decode_samples(samples: Sequence[Sample], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Decode crops into the top left of (n, height, width, 3) uint8 RGB.

    Raises:
        ValueError: An image cannot be decoded; the message names shard and member.
    """
    result = np.zeros((len(samples), height, width, 3), np.uint8)
    for row, sample in zip(result, samples, strict=True):
        with _open(sample) as image:
            pixels = np.asarray(image.convert("RGB"), np.uint8)
        row[: pixels.shape[0], : pixels.shape[1]] = pixels
    return result


def _memory(device: torch.device) -> int:
    """Bytes of the device's memory that one of the processes here may have."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # There may be no control group, or one that says "max".
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(CGROUP_LIMIT.read_text()))
    return total // processes_here()


def load_crops(
    shards: Sequence[Path],
    *,
    workers: int = -1,
    limit: int | None = None,
    device: torch.device | None = None,
    storage: str = "held",
    teacher: str | None = None,
) -> CropSet:
    """Read shards, checked against their manifests.

    Args:
        shards: Tar files as ``lpn-train pack`` writes them; order matters for reproducibility.
        workers: Decoding processes; -1 means one per available core, 0 decodes in this process.
        limit: Keep only the first so many samples of each shard.
        device: Where the tensors go; the CPU if None.
        storage: "held" decodes everything now, into the device's memory; "streamed" decodes what
            is asked for; "auto" holds what fits into half of the device's memory.
        teacher: SHA-256 of the teacher's file whose answers in the shards count; None: none do.

    Raises:
        ValueError: No shard, a damaged or incomplete one, or several keypoint sets.
    """
    if not shards:
        raise ValueError("no shards were given; make them with `lpn-train pack`")
    if storage not in STORAGES:
        raise ValueError(f"storage is {storage!r}; wanted one of {', '.join(STORAGES)}")
    device = device or torch.device("cpu")
    samples = [sample for shard in shards for sample in open_shard(shard)[:limit]]
    if not samples:
        raise ValueError(f"{', '.join(map(str, shards))} hold no sample")
    joints = joint_set(samples)
    sizes = np.array([image_size(sample) for sample in samples], np.int32)
    height, width = sizes.max(axis=0).tolist()
    workers = worker_count(workers)
    if storage == "auto":
        needed = len(samples) * height * width * 3
        storage = "held" if needed <= HELD_PART * _memory(device) else "streamed"
    images: Tensor | StreamedImages
    if storage == "held":
        images = _decode_all(samples, height, width, device, workers)
    else:
        images = StreamedImages(samples, height, width, device, workers)
    names = tuple(sorted({sample.meta["source"] for sample in samples}))
    points = [parse_keypoints(s.meta, joints, f"{s.shard}: {s.member}") for s in samples]
    teacher_keypoints = [
        parse_teacher_keypoints(s.meta, joints, teacher, f"{s.shard}: {s.member}") for s in samples
    ]
    pictures = tuple(str(sample.meta.get("image", "")) for sample in samples)
    lots = [picture_number(name) / 2.0**64 for name in pictures]
    logger.info("%s %d crops of %s", storage, len(samples), ", ".join(names))
    return CropSet(
        images=images,
        sizes=torch.from_numpy(sizes).to(device),
        boxes=torch.tensor([s.meta["box"] for s in samples], dtype=torch.float32, device=device),
        keypoints=torch.from_numpy(np.stack([p for p, _ in points])).to(device),
        labelled=torch.from_numpy(np.stack([v for _, v in points])).to(device),
        areas=torch.tensor([person_area(s.meta) for s in samples], device=device),
        sources=torch.tensor([names.index(s.meta["source"]) for s in samples], device=device),
        teacher_keypoints=torch.from_numpy(np.stack(teacher_keypoints)).to(device),
        lots=torch.tensor(lots, dtype=torch.float64, device=device),
        source_names=names,
        joints=joints,
        pictures=pictures,
        origin=hashlib.sha256("".join(map(shard_hash, shards)).encode()).hexdigest(),
    )


def _decode_all(
    samples: Sequence[Sample], height: int, width: int, device: torch.device, workers: int
) -> Tensor:
    images = torch.empty((len(samples), height, width, 3), dtype=torch.uint8, device=device)
    starts = range(0, len(samples), CHUNK)
    pieces = [[replace(s, meta={}) for s in samples[at : at + CHUNK]] for at in starts]
    if workers == 0:
        for at, piece in zip(starts, pieces, strict=True):
            images[at : at + CHUNK] = torch.from_numpy(decode_samples(piece, height, width))
        return images
    with make_pool(workers, own_session=True) as pool:
        futures = deque(pool.submit(decode_samples, piece, height, width) for piece in pieces)
        for at in starts:
            # Let go once it is stored: the host holds no second copy of everything.
            images[at : at + CHUNK] = torch.from_numpy(futures.popleft().result())
    return images
