"""Pack the persons of an annotation file into tar shards of crops, once and for all.

Shard k holds the persons k * n to (k + 1) * n - 1 of the file, so every shard can be made alone:
by any number of workers, and again after an interruption, with the same bytes.
"""

from __future__ import annotations

import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from lpn_core._files import write_atomically
from lpn_core.evaluation.images import find_image
from lpn_core.image.load import load_image
from lpn_core.model.keypoint_sets import dump_keypoints
from lpn_core.model.spec import PADDING
from PIL import Image
from tqdm import tqdm

from lpn_training.data.annotations import FORMS, Person, split_of
from lpn_training.data.shards import (
    Encoded,
    Made,
    Manifest,
    check_shard,
    file_hash,
    only_writer,
    write_shard,
)
from lpn_training.data.workers import make_pool, worker_count

logger = logging.getLogger(__name__)

# In boxes: 1.3 x what the network sees leaves room for the scale augmentation. Rotation by 40
# degrees as well reaches 2.6, but black corners cost no AP that could be measured
# (docs/studies.md).
DEFAULT_MARGIN = 1.625
ENCODINGS = ("webp", "jpeg")

Item = TypeVar("Item")


@dataclass(frozen=True)
class PackOptions:
    """How crops are cut.

    Attributes:
        source: Name of the data source; the shards' prefix.
        margin: A crop is this many times the box, grown to the network's aspect ratio.
        height: Of the network's input; with ``margin`` it bounds a crop's size, so that a view
            is never stretched by more than the photo itself asks for.
        width: Of the network's input.
        encoding: "webp" or "jpeg".
        quality: 1 to 100.
        shard_persons: Persons per shard.
    """

    source: str
    margin: float = DEFAULT_MARGIN
    height: int = 256
    width: int = 192
    encoding: str = "webp"
    quality: int = 80
    shard_persons: int = 1024

    def __post_init__(self) -> None:
        if not self.margin >= PADDING:
            raise ValueError(
                f"margin is {self.margin}; at least {PADDING} is wanted, what the network sees"
            )
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding is {self.encoding!r}; wanted one of {ENCODINGS}")
        if not 1 <= self.quality <= 100 or self.shard_persons < 1:
            raise ValueError(
                f"quality is {self.quality} and shard_persons {self.shard_persons}; "
                "wanted 1 to 100, and 1 or more"
            )
        if not self.source or "." in self.source or "/" in self.source:
            raise ValueError(f"source is {self.source!r}; wanted a name without dots and slashes")

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height in pixels that no crop exceeds."""
        # The small term keeps 192 * 1.625 / 1.25 = 249.60000000000002 from rounding errors.
        width = math.ceil(self.width * self.margin / PADDING - 1e-9)
        return width, math.ceil(width * self.height / self.width - 1e-9)


def crop_person(
    image: Image.Image, person: Person, options: PackOptions
) -> tuple[Image.Image, list[float], npt.NDArray[np.float64]]:
    """Cut the surroundings of one person, black outside the image.

    Returns:
        The RGB crop, the box and the keypoints in crop pixels (rounded to 0.01).
    """
    x, y, w, h = person.box
    aspect = options.width / options.height
    grown_w = options.margin * max(w, h * aspect)
    grown_h = options.margin * max(h, w / aspect)
    left, top = math.floor(x + (w - grown_w) / 2), math.floor(y + (h - grown_h) / 2)
    right = max(left + 1, math.ceil(x + (w + grown_w) / 2))
    bottom = max(top + 1, math.ceil(y + (h + grown_h) / 2))
    crop = image.crop((left, top, right, bottom))
    limit_w, limit_h = options.largest
    shrink = min(1.0, limit_w / crop.width, limit_h / crop.height)
    size = (max(1, round(crop.width * shrink)), max(1, round(crop.height * shrink)))
    sx, sy = size[0] / crop.width, size[1] / crop.height
    if size != crop.size:
        crop = crop.resize(size, Image.Resampling.BICUBIC)
    moved = person.keypoints.copy()
    # Pixel i covers [i, i + 1): a resize keeps i + 0.5 in proportion.
    moved[:, 0] = np.round((moved[:, 0] + 0.5 - left) * sx - 0.5, 2)
    moved[:, 1] = np.round((moved[:, 1] + 0.5 - top) * sy - 0.5, 2)
    moved[moved[:, 2] == 0] = 0.0
    crop_box = [(x + 0.5 - left) * sx - 0.5, (y + 0.5 - top) * sy - 0.5, w * sx, h * sy]
    return crop, [round(v, 2) for v in crop_box], moved


def encode_crop(key: str, crop: Image.Image, meta: dict[str, Any], options: PackOptions) -> Encoded:
    """The sample of a crop, in the encoding that is asked for."""
    encoded = io.BytesIO()
    crop.save(encoded, options.encoding, quality=options.quality)
    suffix = "jpg" if options.encoding == "jpeg" else options.encoding
    return Encoded(key, suffix, encoded.getvalue(), meta)


@dataclass(frozen=True)
class Cutter:
    """Makes shards of persons; goes to the worker processes.

    Attributes:
        images: Folder of the images, in any layout that ``find_image`` knows.
        split: Its subfolder, such as "val2017".
        keypoint_set: The joints, as ``dump_keypoints`` gives them.
        options: How crops are cut.
    """

    images: Path
    split: str
    keypoint_set: str | dict[str, Any]
    options: PackOptions

    def make_shard(self, path: Path, persons: list[Person]) -> Made:
        """Write the persons' shard, whole or not at all."""
        return Made(write_shard(path, self.encode(persons)), {})

    def encode(self, persons: list[Person]) -> Iterator[Encoded]:
        """Cut and encode persons; neighbours of one image share its decoding."""
        options = self.options
        name, image = None, Image.new("RGB", (1, 1))
        for person in persons:
            if person.image != name:
                name = person.image
                place = find_image(self.images, name, split=self.split)
                # Annotations are about the pixels as they are stored.
                image = Image.fromarray(load_image(place, exif=False)[0])
            crop, box, points = crop_person(image, person, options)
            meta = {
                "source": options.source,
                "image": person.image,
                "box": box,
                "keypoint_set": self.keypoint_set,
                "keypoints": points.reshape(-1).tolist(),
            }
            if person.area is not None:
                shrink = box[2] * box[3] / (person.box[2] * person.box[3])
                meta["area"] = round(person.area * shrink, 2)
            yield encode_crop(person.key, crop, meta, options)


def pack(
    annotations: Path,
    images: Path,
    output: Path,
    options: PackOptions,
    *,
    form: str = "coco",
    workers: int = -1,
) -> list[Path]:
    """Pack every person of an annotation file; finished shards of an earlier call are kept.

    Args:
        annotations: ``person_keypoints_*.json``, or MPII's ``annot/*.json``.
        images: Folder of the images, in any layout that ``find_image`` knows.
        output: Folder for ``SOURCE-000.tar``, ... and ``SOURCE.manifest.json``, and for
            ``SOURCE.keypoints.json`` where the file names joints of its own.
        options: How crops are cut.
        form: "coco" or "mpii".
        workers: Processes; -1 means one per available core, 0 works in this process.

    Returns:
        The shards, in order.

    Raises:
        ValueError: Nobody to pack, the folder holds shards of other settings, or another process
            packs this source into it.
        FileNotFoundError: An image is missing.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; wanted one of {', '.join(FORMS)}")
    persons, joints = FORMS[form](annotations, options.source)
    if not persons:
        raise ValueError(f"{annotations} holds no person")
    output.mkdir(parents=True, exist_ok=True)
    settings = {**asdict(options), "form": form, "annotations_sha256": file_hash(annotations)}
    step = options.shard_persons
    parts = {
        f"{options.source}-{index:03d}.tar": persons[begin : begin + step]
        for index, begin in enumerate(range(0, len(persons), step))
    }
    split = split_of(annotations) if form == "coco" else ""
    keypoint_set = dump_keypoints(joints)
    cutter = Cutter(images, split, keypoint_set, options)
    with only_writer(output, options.source):
        manifest = resume(output, settings)
        if isinstance(keypoint_set, dict):
            place = keypoints_place(output, options.source)
            text = json.dumps(keypoint_set, indent=1, ensure_ascii=False) + "\n"
            write_atomically(place, [text.encode()], durable=True)
        make_shards(manifest, output, parts, cutter.make_shard, unit="person", workers=workers)
    return [output / name for name in parts]


def keypoints_place(output: Path, source: str) -> Path:
    """The file of a source's own keypoint set, for ``model.keypoints``."""
    return output / f"{source}.keypoints.json"


def make_shards(
    manifest: Manifest,
    output: Path,
    parts: Mapping[str, list[Item]],
    make: Callable[[Path, list[Item]], Made],
    *,
    unit: str,
    workers: int,
) -> None:
    """Make the shards that a manifest lacks, and note each there as soon as it is whole.

    Args:
        manifest: From ``resume``.
        output: Folder of the shards.
        parts: What goes into each shard, by its name.
        make: Writes one shard; goes to the worker processes.
        unit: What a part holds, for the bar.
        workers: Processes; -1 means one per available core, 0 works in this process.
    """
    manifest.total = len(parts)
    place = manifest_place(output, manifest.settings)
    waiting = {name: part for name, part in parts.items() if name not in manifest.shards}
    total = sum(map(len, parts.values()))
    with tqdm(
        total=total,
        initial=total - sum(map(len, waiting.values())),
        desc=f"pack {manifest.settings['source']}",
        unit=unit,
        disable=None,
    ) as bar:

        def finish(name: str, made: Made) -> None:
            manifest.shards[name], manifest.dropped[name] = made
            manifest.write(place)
            bar.update(len(parts[name]))

        count = min(worker_count(workers), len(waiting))
        if count == 0:
            for name, part in waiting.items():
                finish(name, make(output / name, part))
        else:
            with make_pool(count) as pool:
                running: dict[Future[Made], str] = {
                    pool.submit(make, output / name, part): name for name, part in waiting.items()
                }
                try:
                    for future in as_completed(running):
                        finish(running[future], future.result())
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise


def manifest_place(output: Path, settings: Mapping[str, Any]) -> Path:
    """The file of a source's manifest."""
    return output / f"{settings['source']}.manifest.json"


def resume(output: Path, settings: dict[str, Any]) -> Manifest:
    """The manifest of an interrupted call, less the shards that are not what it says.

    Raises:
        ValueError: The folder holds shards of other settings.
    """
    place = manifest_place(output, settings)
    # Digits only: another source, whose name begins as this one's, may be packed right now.
    source = re.escape(settings["source"])
    stray = re.compile(rf"\.{source}(-\d+\.tar|\.(manifest|pictures|keypoints)\.json)\.(\w+\.)?tmp")
    for path in place.parent.iterdir():
        if stray.fullmatch(path.name):
            path.unlink(missing_ok=True)
    if not place.exists():
        return Manifest(settings, {})
    manifest = Manifest.read(place)
    # Through JSON, as the file has been.
    wanted = json.loads(json.dumps(settings))
    other = sorted(key for key in wanted if manifest.settings.get(key) != wanted[key])
    if other:
        key = other[0]
        raise ValueError(
            f"{place.parent} holds shards with {key} = {manifest.settings.get(key)!r}; now it is "
            f"{wanted[key]!r}: name another folder, or empty this one"
        )
    for name, record in list(manifest.shards.items()):
        try:
            check_shard(place.parent / name, record)
        except (OSError, ValueError) as error:
            logger.warning("packed again: %s", error)
            del manifest.shards[name]
    return manifest
