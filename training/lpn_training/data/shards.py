"""Tar shards of person crops (WebDataset layout) and the manifest with their hashes.

A sample is two members with one key: ``KEY.webp`` (or another encoding) and ``KEY.json``.
``SOURCE.manifest.json`` beside the shards holds what they were made with and each one's SHA-256;
``pack.py`` writes it, ``open_shard`` here checks against it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from lpn_core._files import write_atomically

MANIFEST_FORMAT = 1
BLOCK = 512
REPAIR = "make it again with `lpn-train pack` (whole shards are kept)"


class Encoded(NamedTuple):
    """A sample to write: the image's bytes and suffix, and its JSON."""

    key: str
    suffix: str
    image: bytes
    meta: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Where a sample's image lies, and its JSON.

    Attributes:
        shard: The tar file.
        member: Name of the image inside it.
        offset: First byte of the image in the file.
        size: Bytes of the image.
        meta: The JSON.
    """

    shard: Path
    member: str
    offset: int
    size: int
    meta: dict[str, Any]

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            ValueError: The file ends before the image does.
        """
        with self.shard.open("rb") as stream:
            stream.seek(self.offset)
            data = stream.read(self.size)
        if len(data) != self.size:
            raise ValueError(
                f"{self.shard}: member {self.member} ends after {len(data)} of {self.size} bytes; "
                + REPAIR
            )
        return data


@dataclass(frozen=True)
class ShardRecord:
    """What the manifest says of a shard."""

    sha256: str
    bytes: int
    samples: int


class Made(NamedTuple):
    """A finished shard: its record, and how many were left out of it, by reason."""

    record: ShardRecord
    dropped: dict[str, int]


@dataclass
class Manifest:
    """What is known of a packed source.

    Attributes:
        settings: What it is packed with.
        shards: The finished shards by name.
        total: How many there are to be; None in manifests of earlier versions.
        dropped: How many were left out of each shard, by reason.
    """

    settings: dict[str, Any]
    shards: dict[str, ShardRecord]
    total: int | None = None
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        shards = {name: vars(record) for name, record in sorted(self.shards.items())}
        content = {
            "format": MANIFEST_FORMAT,
            "settings": self.settings,
            "total": self.total,
            "shards": shards,
            "dropped": {name: self.dropped.get(name, {}) for name in shards},
        }
        write_atomically(path, [(json.dumps(content, indent=1) + "\n").encode()], durable=True)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read what ``write`` wrote.

        Raises:
            ValueError: Not a manifest, or one of another format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content["format"]
            if found == MANIFEST_FORMAT:
                shards = {name: ShardRecord(**row) for name, row in content["shards"].items()}
                dropped = content.get("dropped", {})
                return cls(content["settings"], shards, content.get("total"), dropped)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a manifest of shards: {error!r}") from error
        raise ValueError(f"{path} is a manifest of format {found}; {MANIFEST_FORMAT} is wanted")


@contextmanager
def only_writer(output: Path, source: str) -> Iterator[None]:
    """Keep a second process from packing a source into the same folder meanwhile.

    Raises:
        ValueError: Another process is at it.
    """
    place = output / f".{source}.lock"
    with place.open("wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may be one that its writer has removed since it was opened here.
            ours = os.path.samestat(place.stat(), os.fstat(stream.fileno()))
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise ValueError(
                f"another process packs {source!r} into {output} right now: wait for it, or name "
                "another folder"
            )
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def write_shard(path: Path, samples: Iterable[Encoded]) -> ShardRecord:
    """Write samples as one tar file, whole or not at all; equal samples give equal bytes."""
    buffer = BytesIO()
    count = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            meta = json.dumps(sample.meta).encode()
            for suffix, data in ((sample.suffix, sample.image), ("json", meta)):
                info = tarfile.TarInfo(f"{sample.key}.{suffix}")
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
            count += 1
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, [data], durable=True)
    return ShardRecord(hashlib.sha256(data).hexdigest(), len(data), count)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def picture_number(name: str) -> int:
    """A number below 2**64 that a picture's name decides: the same in every run and pack."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def check_shard(path: Path, record: ShardRecord) -> None:
    """Hold a shard to its manifest.

    Raises:
        ValueError: Another size or hash.
    """
    size = path.stat().st_size
    if size != record.bytes:
        raise ValueError(f"{path} has {size} bytes; its manifest says {record.bytes}: {REPAIR}")
    found = file_hash(path)
    if found != record.sha256:
        raise ValueError(f"{path} has SHA-256 {found}; its manifest says {record.sha256}: {REPAIR}")


def shard_hash(path: Path) -> str:
    """SHA-256 of a shard that was held to its manifest, or has none."""
    record = recorded(path)
    return file_hash(path) if record is None else record.sha256


def recorded(path: Path) -> ShardRecord | None:
    """What a manifest in the shard's folder says of it; None where no manifest names it."""
    for place in sorted(path.parent.glob("*.manifest.json")):
        record = Manifest.read(place).shards.get(path.name)
        if record is not None:
            return record
    return None


def find_shards(names: Sequence[str]) -> list[Path]:
    """Tar files named directly or inside named folders, in a fixed order.

    Raises:
        ValueError: A folder without shards, or one that lacks some of its manifests' shards.
    """
    shards: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            _check_complete(path)
            shards += sorted(path.glob("*.tar"))
        else:
            shards.append(path)
    return shards


def _check_complete(folder: Path) -> None:
    if not any(folder.glob("*.tar")):
        raise ValueError(f"{folder} holds no shards (*.tar); make them with `lpn-train pack`")
    for place in sorted(folder.glob("*.manifest.json")):
        manifest = Manifest.read(place)
        gone = sorted(name for name in manifest.shards if not (folder / name).is_file())
        if gone:
            raise ValueError(
                f"{folder} lacks {', '.join(gone)}, which {place.name} names; {REPAIR}"
            )
        if manifest.total is not None and len(manifest.shards) < manifest.total:
            raise ValueError(
                f"{folder} holds {len(manifest.shards)} of the {manifest.total} shards of "
                f"{place.name}: give its `lpn-train pack` again, which goes on where it ended"
            )


def open_shard(path: Path) -> list[Sample]:
    """Check a shard against its manifest, where there is one, and list its samples in order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another hash than the manifest's, a file cut short, a member that cannot be
            read, or a sample without its image or JSON; the message names file and member.
    """
    record = recorded(path)
    if record is not None and path.is_file():
        check_shard(path, record)
    images: dict[str, tarfile.TarInfo] = {}
    metas: dict[str, dict[str, Any]] = {}
    last: tarfile.TarInfo | None = None
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                last = member
                if not member.isfile():
                    continue
                key, _, suffix = member.name.partition(".")
                if suffix == "json":
                    metas[key] = _read_meta(archive, member, path)
                else:
                    images[key] = member
    except (tarfile.TarError, EOFError) as error:
        where = f"after member {last.name}" if last else "at its start"
        raise ValueError(f"{path} is damaged {where}: {error}; {REPAIR}") from error
    _check_end(path, last)
    odd = sorted(set(images) ^ set(metas))
    if odd:
        raise ValueError(
            f"{path}: {len(odd)} samples lack an image or a json, first {odd[0]!r}; {REPAIR}"
        )
    return [
        Sample(path, member.name, member.offset_data, member.size, metas[key])
        for key, member in images.items()
    ]


def _read_meta(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> dict[str, Any]:
    handle = archive.extractfile(member)
    assert handle is not None
    try:
        meta = json.loads(handle.read())
    except ValueError as error:
        raise ValueError(f"{path}: member {member.name} is not JSON: {error}; {REPAIR}") from error
    missing = [name for name in ("source", "box") if name not in meta]
    if missing:
        raise ValueError(f"{path}: member {member.name} lacks {' and '.join(missing)}")
    if not _is_box(meta["box"]):
        raise ValueError(
            f"{path}: member {member.name} has the box {meta['box']}; wanted [x, y, width, height] "
            "with a positive width and height"
        )
    if "area" in meta and not (_is_number(meta["area"]) and meta["area"] > 0):
        raise ValueError(
            f"{path}: member {member.name} has the area {meta['area']}; wanted a positive number"
        )
    result: dict[str, Any] = meta
    return result


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(map(_is_number, box)) and min(box[2:]) > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_end(path: Path, last: tarfile.TarInfo | None) -> None:
    # tarfile takes any end of file, and any block that is no header, for the archive's end.
    end = 0 if last is None else last.offset_data + -(-last.size // BLOCK) * BLOCK
    with path.open("rb") as stream:
        stream.seek(end)
        marker = stream.read(BLOCK)
    if marker != bytes(BLOCK):
        where = f"after member {last.name}" if last else "at its start"
        found = "ends" if len(marker) < BLOCK else "is damaged"
        raise ValueError(f"{path} {found} {where}, without the mark of a whole tar file; {REPAIR}")
