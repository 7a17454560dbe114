"""Pack the people of pictures that nobody annotated: found by a detector, posed by the teacher.

Each sample's JSON has the teacher's joints instead of labels: ``teacher_keypoints``, 17 x (x, y,
confidence) in crop pixels, and ``teacher``, the SHA-256 of its file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lpn_core._files import write_atomically
from lpn_core.image.load import load_image
from PIL import Image
from tqdm import tqdm

from lpn_training.data.annotations import Person
from lpn_training.data.finders import OnnxTeacher, PersonDetector, ask_for_joints
from lpn_training.data.fingerprints import fingerprint, first_copies
from lpn_training.data.pack import PackOptions, crop_person, encode_crop, make_shards, resume
from lpn_training.data.shards import (
    Encoded,
    Made,
    file_hash,
    only_writer,
    picture_number,
    write_shard,
)
from lpn_training.data.workers import make_pool, worker_count

logger = logging.getLogger(__name__)

PICTURES_PER_SHARD = 256
# Files are fingerprinted in pieces of this many.
CHUNK = 64
CONFIDENCE_DIGITS = 3


@dataclass(frozen=True)
class PeopleOptions:
    """Who of those that the detector finds is packed.

    Attributes:
        detector: RTMDet's ONNX file.
        teacher: PP-TinyPose's ONNX file.
        minimum_score: Of the detector.
        minimum_size: Of the longer side of the box, in the picture's pixels.
        minimum_confidence: Of the teacher, the mean over the joints.
    """

    detector: Path
    teacher: Path
    minimum_score: float = 0.4
    minimum_size: float = 80.0
    minimum_confidence: float = 0.3

    def settings(self) -> dict[str, Any]:
        """What tells packed shards from those of other options."""
        hashes = {
            "detector": file_hash(self.detector),
            "teacher": file_hash(self.teacher),
        }
        return {**asdict(self), **hashes}


@dataclass
class Scan:
    """Which files of a folder are packed.

    Attributes:
        kept: Their names within the folder, shuffled.
        dropped: How many are not, by reason.
    """

    kept: list[str]
    dropped: dict[str, int] = field(default_factory=dict)


def scan(folder: Path, against: Sequence[Path], workers: int) -> Scan:
    """List the distinct pictures of a folder that none of other folders shows.

    Args:
        folder: Of the pictures; folders in it count.
        against: Folders of pictures that must not be among them, such as those of a validation.
        workers: Processes; 0 works in this one.

    Raises:
        ValueError: A folder of ``against`` holds no picture.
    """
    names = _files(folder)
    known = []
    for other in against:
        found = _fingerprints([other / name for name in _files(other)], workers, other.name)
        known += [entry for entry in found if entry is not None]
        if not any(entry is not None for entry in found):
            raise ValueError(f"{other} holds no picture; those not to be trained on are wanted")
    found = _fingerprints([folder / name for name in names], workers, folder.name)
    pictures = [index for index, entry in enumerate(found) if entry is not None]
    prints = [entry for entry in found if entry is not None]
    in_known, repeats = first_copies(prints, known)
    kept = [names[i] for i, out in zip(pictures, in_known | repeats, strict=True) if not out]
    # Shuffled, so that each shard is a sample of the whole.
    kept.sort(key=picture_number)
    dropped = {
        "no picture": len(names) - len(pictures),
        "picture to keep out": int(in_known.sum()),
        "repeated picture": int(repeats.sum()),
    }
    return Scan(kept, dropped)


def _files(folder: Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not path.name.startswith("."))


def _fingerprints(
    paths: Sequence[Path], workers: int, name: str
) -> list[npt.NDArray[np.bool_] | None]:
    pieces = [paths[at : at + CHUNK] for at in range(0, len(paths), CHUNK)]
    count = min(workers, len(pieces))
    result: list[npt.NDArray[np.bool_] | None] = []
    with (
        make_pool(count) if count else nullcontext() as pool,
        tqdm(total=len(paths), desc=f"compare {name}", unit="picture", disable=None) as bar,
    ):
        for found in (pool.map if pool else map)(_fingerprint_files, pieces):
            result += found
            bar.update(len(found))
    return result


def _fingerprint_files(paths: Sequence[Path]) -> list[npt.NDArray[np.bool_] | None]:
    found: list[npt.NDArray[np.bool_] | None] = []
    for path in paths:
        try:
            with Image.open(path) as image:
                found.append(fingerprint(image))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            found.append(None)
    return found


@lru_cache(maxsize=1)
def _open_models(detector: Path, teacher: Path) -> tuple[PersonDetector, OnnxTeacher]:
    # Once in each worker process, of which there is one per core.
    return PersonDetector(detector, threads=1), OnnxTeacher(teacher, threads=1)


@dataclass(frozen=True)
class PeopleCutter:
    """Makes shards of the people in pictures; goes to the worker processes.

    Attributes:
        folder: Of the pictures.
        people: Who is packed.
        teacher_hash: SHA-256 of the teacher's file.
        options: How crops are cut.
    """

    folder: Path
    people: PeopleOptions
    teacher_hash: str
    options: PackOptions

    def make_shard(self, path: Path, pictures: list[str]) -> Made:
        """Write the shard of the people in pictures, whole or not at all."""
        dropped: Counter[str] = Counter()
        record = write_shard(path, self.encode(pictures, dropped))
        return Made(record, dict(dropped))

    def encode(self, pictures: Sequence[str], dropped: Counter[str]) -> Iterator[Encoded]:
        """Find, cut and encode people; counts by reason who is left out."""
        detector, teacher = _open_models(self.people.detector, self.people.teacher)
        for name in pictures:
            try:
                pixels, _ = load_image(self.folder / name)
            except ValueError:
                dropped["no picture"] += 1
                continue
            boxes, scores = detector(pixels)
            sure = scores >= self.people.minimum_score
            large = boxes[:, 2:].max(axis=1, initial=0) >= self.people.minimum_size
            dropped["small box"] += int((sure & ~large).sum())
            boxes, scores = boxes[sure & large], scores[sure & large]
            if len(boxes) == 0:
                dropped["picture without people"] += 1
                continue
            joints = ask_for_joints(teacher, pixels, boxes)
            image = Image.fromarray(pixels)
            for index, (box, score, points) in enumerate(zip(boxes, scores, joints, strict=True)):
                if points[:, 2].mean() < self.people.minimum_confidence:
                    dropped["unsure teacher"] += 1
                    continue
                key = f"{self.options.source}_{picture_number(name):016x}_{index:02d}"
                yield self._sample(image, Person(key, name, tuple(box), points), float(score))

    def _sample(self, image: Image.Image, person: Person, score: float) -> Encoded:
        crop, box, points = crop_person(image, person, self.options)
        points[:, 2] = np.round(points[:, 2], CONFIDENCE_DIGITS)
        meta = {
            "source": self.options.source,
            "image": person.image,
            "box": box,
            "detector_score": round(score, CONFIDENCE_DIGITS),
            "teacher": self.teacher_hash,
            "teacher_keypoints": points.reshape(-1).tolist(),
        }
        return encode_crop(person.key, crop, meta, self.options)


def pack_pictures(
    folder: Path,
    output: Path,
    options: PackOptions,
    people: PeopleOptions,
    *,
    against: Sequence[Path] = (),
    workers: int = -1,
) -> tuple[list[Path], dict[str, int]]:
    """Pack the people of a folder of pictures; finished shards of an earlier call are kept.

    Args:
        folder: Of the pictures; folders in it count, and files that are no pictures do not.
        output: Folder for ``SOURCE-000.tar``, ..., ``SOURCE.manifest.json`` and
            ``SOURCE.pictures.json``, the pictures that were left after comparing them.
        options: How crops are cut; a shard holds the people of ``PICTURES_PER_SHARD`` pictures.
        people: Who is packed.
        against: Folders of pictures that must not be among them.
        workers: Processes; -1 means one per available core, 0 works in this process.

    Returns:
        The shards, in order, and how many files, pictures and people were left out, by reason.

    Raises:
        ValueError: No picture is left, the folder holds shards of other settings, or another
            process packs this source into it.
    """
    output.mkdir(parents=True, exist_ok=True)
    identity = _identity((folder, *against))
    settings = {
        **asdict(options),
        **people.settings(),
        "form": "pictures",
        "pictures_sha256": identity,
    }
    workers = worker_count(workers)
    with only_writer(output, options.source):
        manifest = resume(output, settings)
        listing = output / f"{options.source}.pictures.json"
        chosen = _recall_scan(listing, identity, folder, against, workers)
        if not chosen.kept:
            raise ValueError(f"{folder} holds no picture to pack: {chosen.dropped}")
        starts = range(0, len(chosen.kept), PICTURES_PER_SHARD)
        parts = {
            f"{options.source}-{index:03d}.tar": chosen.kept[begin : begin + PICTURES_PER_SHARD]
            for index, begin in enumerate(starts)
        }
        cutter = PeopleCutter(folder, people, settings["teacher"], options)
        make_shards(manifest, output, parts, cutter.make_shard, unit="picture", workers=workers)
    dropped = Counter(chosen.dropped)
    for counts in manifest.dropped.values():
        dropped.update(counts)
    return [output / name for name in parts], dict(dropped)


def _recall_scan(
    place: Path, identity: str, folder: Path, against: Sequence[Path], workers: int
) -> Scan:
    """``scan``, or what it found before of the same files."""
    if place.exists():
        content = json.loads(place.read_text(encoding="utf-8"))
        if content["files"] == identity:
            return Scan(content["kept"], content["dropped"])
    found = scan(folder, against, workers)
    content = {"files": identity, "dropped": found.dropped, "kept": found.kept}
    write_atomically(place, [(json.dumps(content, indent=1) + "\n").encode()], durable=True)
    return found


def _identity(folders: Sequence[Path]) -> str:
    """SHA-256 of the names and sizes of all files in folders."""
    files = [[(name, (path / name).stat().st_size) for name in _files(path)] for path in folders]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()
