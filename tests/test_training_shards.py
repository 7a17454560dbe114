"""What shards keep of a person, what tells them apart, and writers that meet in one folder."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

from lpn_core._files import write_atomically  # noqa: E402
from lpn_training.data import crops, shards  # noqa: E402
from lpn_training.data.pack import PackOptions, pack  # noqa: E402
from training_data import make_coco  # noqa: E402

OPTIONS = PackOptions("coco", shard_persons=2)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def packed(coco: tuple[Path, Path], tmp_path: Path) -> list[Path]:
    return pack(*coco, tmp_path / "shards", OPTIONS, workers=0)


def test_annotated_areas_are_kept(coco: tuple[Path, Path], tmp_path: Path) -> None:
    """In crop pixels; what has none gets COCO's usual part of its box, and 0 is no person."""
    annotations, images = coco
    content = json.loads(annotations.read_text())
    given = [1e3, 2e4, 5e3, 3e4, None, 0.0]
    entries = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    for entry, area in zip(entries, given, strict=True):
        entry["area"] = area
    del entries[4]["area"]
    path = tmp_path / "person_keypoints_val2017.json"
    path.write_text(json.dumps(content))
    made = pack(path, images, tmp_path / "shards", OPTIONS, workers=0)
    loaded = crops.load_crops(made, workers=0)
    sizes = np.array([entry["bbox"][2:] for entry in entries], np.float64).prod(axis=1)
    found = loaded.areas.numpy() / loaded.boxes[:, 2:].numpy().prod(axis=1)
    # Boxes end on the last pixel of a person, whose right and lower sides so lose one.
    expected = np.array([area or 0 for area in given[:4]]) / sizes[:4]
    assert found[:4] == pytest.approx(expected, rel=0.03)
    assert found[4:] == pytest.approx([0.53])
    entries[0]["area"] = "big"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations\[0\] \(id 1\): area is 'big'"):
        pack(path, images, tmp_path / "more", OPTIONS, workers=0)


def test_wrong_area_names_the_member(tmp_path: Path) -> None:
    meta = {"source": "s", "box": [0, 0, 1, 1], "area": 0}
    shards.write_shard(tmp_path / "a.tar", [shards.Encoded("k", "webp", b"x", meta)])
    with pytest.raises(ValueError, match=r"a\.tar: member k\.json has the area 0; wanted"):
        shards.open_shard(tmp_path / "a.tar")


def test_digest_covers_pixels_and_labels(packed: list[Path], tmp_path: Path) -> None:
    samples = shards.open_shard(packed[0])

    def digest(change: Callable[[shards.Encoded], shards.Encoded], limit: int | None = None) -> str:
        path = tmp_path / "other" / "a.tar"
        written = [shards.Encoded(s.meta["image"][:-4], "webp", s.read(), s.meta) for s in samples]
        shards.write_shard(path, [change(written[0]), *written[1:]])
        return crops.load_crops([path], workers=0, limit=limit).digest

    def pixels(sample: shards.Encoded) -> shards.Encoded:
        image = Image.open(io.BytesIO(sample.image)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        data = io.BytesIO()
        image.save(data, "webp")
        return sample._replace(image=data.getvalue())

    def label(sample: shards.Encoded) -> shards.Encoded:
        joints = [*sample.meta["keypoints"]]
        joints[2] = 2.0 if joints[2] == 0 else 0.0
        return sample._replace(meta={**sample.meta, "keypoints": joints})

    plain = digest(lambda sample: sample)
    assert digest(lambda sample: sample) == plain
    assert len({plain, digest(pixels), digest(label), digest(lambda s: s, limit=1)}) == 4
    # Two copies, one of them with a manifest.
    (tmp_path / "copy").mkdir()
    copy = Path(shutil.copy(packed[0], tmp_path / "copy"))
    loaded = [crops.load_crops([path], workers=0) for path in (packed[0], copy)]
    assert loaded[0].digest == loaded[1].to(torch.device("cpu")).digest


def test_files_written_at_the_same_time_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second writer begins and ends while the first is at it."""
    real = os.fsync
    contents = [b"two" * 1000]

    def meanwhile(descriptor: int) -> None:
        while contents:
            write_atomically(tmp_path / "a", [contents.pop()], durable=True)
            assert (tmp_path / "a").read_bytes() == b"two" * 1000
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_atomically(tmp_path / "a", [b"one" * 500], durable=True)
    assert (tmp_path / "a").read_bytes() == b"one" * 500
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_one_process_packs_a_source_into_a_folder(coco: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        shards.only_writer(tmp_path, "coco"),
        shards.only_writer(tmp_path, "coco-more"),
        pytest.raises(ValueError, match=r"another process packs 'coco' into .* wait for it"),
    ):
        pack(*coco, tmp_path, OPTIONS, workers=0)
    pack(*coco, tmp_path, OPTIONS, workers=0)
    assert not list(tmp_path.glob(".*"))
