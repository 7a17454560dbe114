"""Packing into tar shards: geometry, resuming, hashes, and what damaged shards say."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")
testing = pytest.importorskip("click.testing")

from lpn_training.cli import main  # noqa: E402
from lpn_training.data import crops, shards  # noqa: E402
from lpn_training.data.annotations import Person  # noqa: E402
from lpn_training.data.pack import PackOptions, crop_person, pack  # noqa: E402
from training_data import make_coco, make_mpii  # noqa: E402

OPTIONS = PackOptions("coco", shard_persons=2)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def packed(coco: tuple[Path, Path], tmp_path: Path) -> list[Path]:
    return pack(*coco, tmp_path / "shards", OPTIONS, workers=0)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_pack_and_load(packed: list[Path]) -> None:
    folder = packed[0].parent
    assert [path.name for path in packed] == [f"coco-{index:03d}.tar" for index in range(3)]
    assert sorted(hashes(folder)) == [*(path.name for path in packed), "coco.manifest.json"]
    loaded = crops.load_crops(packed, workers=0)
    assert len(loaded) == 6  # and not the crowd
    assert loaded.source_names == ("coco",)
    with tarfile.open(packed[0]) as archive:
        assert archive.getnames()[:2] == ["coco_000000000001.webp", "coco_000000000001.json"]
        meta = json.loads(archive.extractfile("coco_000000000001.json").read())  # type: ignore[union-attr]
    visible = np.reshape(meta["keypoints"], (17, 3))[:, 2] > 0
    assert loaded.labelled[0].tolist() == visible.tolist()
    assert isinstance(loaded.images, torch.Tensor)
    assert loaded.images.shape[1:3] == tuple(loaded.sizes.max(dim=0).values.tolist())
    for index in range(6):
        height, width = loaded.sizes[index].tolist()
        assert height <= 334
        assert width <= 250
        assert loaded.images[index, height:].sum() == 0
        assert loaded.images[index, :, width:].sum() == 0
        inside = loaded.keypoints[index][loaded.labelled[index]]
        low, size = loaded.boxes[index, :2], loaded.boxes[index, 2:]
        assert bool(((inside >= low - 2) & (inside <= low + size + 2)).all())


def test_workers_pack_the_same_bytes(
    coco: tuple[Path, Path], packed: list[Path], tmp_path: Path
) -> None:
    pack(*coco, tmp_path / "pooled", OPTIONS, workers=2)
    assert hashes(tmp_path / "pooled") == hashes(packed[0].parent)


@pytest.mark.parametrize("margin", [1.625, 2.6])
@pytest.mark.parametrize("encoding", ["webp", "jpeg"])
def test_margin_and_encoding(
    coco: tuple[Path, Path], tmp_path: Path, margin: float, encoding: str
) -> None:
    options = PackOptions("coco", margin=margin, encoding=encoding)
    loaded = crops.load_crops(pack(*coco, tmp_path, options, workers=0), workers=0)
    for box, size in zip(loaded.boxes.numpy(), loaded.sizes.numpy(), strict=True):
        grown = max(box[2], box[3] * 0.75)
        # Whole pixels on each side, and half a pixel of rounding when it was shrunk.
        assert abs(size[1] / grown - margin) <= 2.5 / grown
        assert (
            size <= (math.ceil(math.ceil(153.6 * margin) / 0.75), math.ceil(153.6 * margin))
        ).all()
        centre = box[:2] + box[2:] / 2 + 0.5
        assert np.abs(centre - size[::-1] / 2).max() <= 1.5


def test_packed_crop_keeps_the_geometry() -> None:
    """A crop that is shrunk still shows each point where its keypoints say."""
    pixels = np.zeros((900, 900, 3), np.uint8)
    points = np.zeros((17, 3))
    points[:4] = [[300, 200, 2], [600, 250, 2], [350, 700, 1], [588, 655, 2]]
    for x, y, _ in points[:4]:
        cv2.circle(pixels, (int(x), int(y)), 12, (255, 255, 255), -1)
    person = Person("one", "one.png", (280.0, 180.0, 340.0, 540.0), points)
    crop, _, moved = crop_person(Image.fromarray(pixels), person, OPTIONS)
    assert crop.width <= 250
    assert crop.height <= 334
    grey = np.asarray(crop, np.float64)[..., 0]
    for x, y, _ in moved[:4]:
        top, left = int(y) - 8, int(x) - 8
        window = grey[top : top + 18, left : left + 18]
        ys, xs = np.mgrid[top : top + 18, left : left + 18]
        found = np.array([(window * xs).sum(), (window * ys).sum()]) / window.sum()
        assert np.abs(found - (x, y)).max() < 0.1


def test_mpii_is_packed_square(tmp_path: Path) -> None:
    annotations, entries = make_mpii(tmp_path)
    options = PackOptions("mpii", height=256, width=256)
    made = pack(annotations, tmp_path, tmp_path / "shards", options, form="mpii", workers=0)
    loaded = crops.load_crops(made, workers=0)
    assert loaded.joints.name == "mpii16"
    assert loaded.keypoints.shape == (3, 16, 2)
    for index, entry in enumerate(entries):
        visible = np.array(entry["joints_vis"]) > 0
        assert loaded.labelled[index].tolist() == visible.tolist()
        # The joints relative to the box's centre and side are those of the annotation.
        box = loaded.boxes[index].numpy()
        found = (loaded.keypoints[index].numpy() - box[:2] - box[2:] / 2) / box[2]
        centre = np.array(entry["center"]) + np.array((0, 15 * entry["scale"]))
        expected = (np.array(entry["joints"]) - centre) / (200 * entry["scale"])
        assert np.abs(found - expected)[visible].max() <= 2e-4


# A program that packs slowly, so that it can be killed on the way.
SLOW = """
import sys, time
from pathlib import Path
from lpn_training.data import pack
original = pack.crop_person
def slow(*arguments):
    time.sleep(0.25)
    return original(*arguments)
pack.crop_person = slow
if __name__ == "__main__":
    options = pack.PackOptions("coco", shard_persons=2)
    pack.pack(*map(Path, sys.argv[1:4]), options, workers=int(sys.argv[4]))
"""


def start_slow_pack(coco: tuple[Path, Path], output: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start packing in another process, and wait until its first shard is there."""
    program = output.with_suffix(".py")
    program.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, str(program), *map(str, coco), str(output), str(workers)],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (output / "coco.manifest.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


def test_killed_pack_goes_on_where_it_ended(coco: tuple[Path, Path], tmp_path: Path) -> None:
    pack(*coco, tmp_path / "straight", OPTIONS, workers=0)
    output = tmp_path / "killed"
    process = start_slow_pack(coco, output, workers=0)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    for name in (".coco-002.tar.tmp", ".coco-001.tar.0a1b.tmp", ".coco.manifest.json.77.tmp"):
        (output / name).write_bytes(b"half")
    # Of another source, which may be packed at the same time.
    others = [output / f".coco-{name}-000.tar.0a1b.tmp" for name in ("more", "2")]
    for other in others:
        other.write_bytes(b"half")
    done = shards.Manifest.read(output / "coco.manifest.json").shards
    assert 0 < len(done) < 3, "the kill came too late or too early to show anything"
    before = {name: (output / name).stat().st_mtime_ns for name in done}
    pack(*coco, output, OPTIONS, workers=0)
    for other in others:
        other.unlink()
    assert hashes(output) == hashes(tmp_path / "straight")
    assert {name: (output / name).stat().st_mtime_ns for name in done} == before


def worker_processes(parent: int) -> list[int]:
    """Ids of a process's spawned workers."""
    words = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(w) for w in words if b"spawn_main" in Path(f"/proc/{w}/cmdline").read_bytes()]


def is_alive(process: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="this system does not list a process's children"
)
def test_killed_pack_leaves_no_workers(coco: tuple[Path, Path], tmp_path: Path) -> None:
    process = start_slow_pack(coco, tmp_path / "out", workers=1)
    workers = worker_processes(process.pid)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(workers) == 1
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, workers))


def test_damaged_shard_is_packed_again(
    coco: tuple[Path, Path], packed: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    before = hashes(packed[0].parent)
    data = bytearray(packed[1].read_bytes())
    data[700] ^= 1
    packed[1].write_bytes(data)
    packed[2].unlink()
    pack(*coco, packed[0].parent, OPTIONS, workers=0)
    assert hashes(packed[0].parent) == before
    assert "coco-001.tar has SHA-256" in caplog.text


def test_other_settings_need_another_folder(coco: tuple[Path, Path], packed: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"margin = 1.625; now it is 2.0"):
        pack(*coco, packed[0].parent, PackOptions("coco", margin=2.0, shard_persons=2), workers=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": 1.0}, "at least 1.25"),
        ({"margin": math.nan}, "at least 1.25"),
        ({"encoding": "png"}, "'webp', 'jpeg'"),
        ({"quality": 0}, "quality is 0"),
        ({"source": "a/b"}, "without dots and slashes"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PackOptions(**{"source": "coco", **options})  # type: ignore[arg-type]


def test_nobody_to_pack(tmp_path: Path) -> None:
    path = tmp_path / "a_b.json"
    path.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match="holds no person"):
        pack(path, tmp_path, tmp_path / "out", OPTIONS)


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[600] ^= 4
    path.write_bytes(data)


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(flip_bit, r"coco-000.tar has SHA-256 .* manifest says"), (cut(700), r"has 700 bytes")],
)
def test_hash_is_checked_on_load(
    packed: list[Path], damage: Callable[[Path], None], words: str
) -> None:
    damage(packed[0])
    with pytest.raises(ValueError, match=words):
        crops.load_crops(packed, workers=0)


def plain_shard(folder: Path) -> Path:
    """Two samples, by the tarfile module, and no manifest. Members: 512 + 512 bytes each."""
    path = folder / "plain.tar"
    samples = [shards.Encoded(key, "webp", b"x" * 300, {"source": "s", "box": [0, 0, 1, 1]})
               for key in ("a", "b")]  # fmt: skip
    shards.write_shard(path, samples)
    return path


def overwrite(offset: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset : offset + len(data)] = data
        path.write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut(0), "damaged at its start|ends at its start"),
        (cut(600), r"plain.tar .* after member a.webp"),
        (cut(1024), r"plain.tar .* after member a.webp"),
        (cut(2048), r"plain.tar ends after member a.json"),
        (cut(2048 + 100), r"plain.tar .* after member a.json"),
        (cut(2048 + 700), r"plain.tar .* after member b.webp"),
        (cut(4096), r"plain.tar ends after member b.json"),
        (overwrite(2048, b"b" * 512), r"plain.tar is damaged after member a.json"),
        (overwrite(1536, b"!"), r"plain.tar: member a.json is not JSON"),
        (overwrite(2048, b"c"), "damaged after member a.json"),
    ],
)
def test_damaged_shard_names_file_and_member(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    path = plain_shard(tmp_path)
    assert [sample.read() for sample in shards.open_shard(path)] == [b"x" * 300] * 2
    damage(path)
    with pytest.raises(ValueError, match=words):
        shards.open_shard(path)


def test_undecodable_image_names_file_and_member(tmp_path: Path) -> None:
    path = plain_shard(tmp_path)
    with pytest.raises(ValueError, match=r"plain.tar: member a.webp cannot be decoded"):
        crops.load_crops([path], workers=0)


def test_image_cut_short_names_file_and_member(packed: list[Path], tmp_path: Path) -> None:
    """The header is whole, so that only the decoder notices; in a worker process as well."""
    sample = shards.open_shard(packed[0])[0]
    data = sample.read()[:-400]
    broken = [shards.Encoded("k", "webp", data, sample.meta)]
    shards.write_shard(tmp_path / "short.tar", broken)
    for workers in (0, 1):
        with pytest.raises(ValueError, match=r"short.tar: member k.webp cannot be decoded"):
            crops.load_crops([tmp_path / "short.tar"], workers=workers)


def test_loading_names_what_is_wrong(packed: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lpn-train pack"):
        crops.load_crops([])
    path = tmp_path / "half.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("b.webp"))
    with pytest.raises(ValueError, match="lack an image or a json, first 'b'"):
        shards.open_shard(path)
    with pytest.raises(FileNotFoundError, match="none"):
        shards.open_shard(tmp_path / "none.tar")
    with pytest.raises(ValueError, match="storage is 'disk'"):
        crops.load_crops(packed, storage="disk")
    meta = {"source": "s", "box": [0, 0, 1, 1], "keypoint_set": "mpii16"}
    image = shards.open_shard(packed[0])[0].read()
    shards.write_shard(path, [shards.Encoded("k", "webp", image, meta)])
    with pytest.raises(ValueError, match="coco17 and mpii16"):
        crops.load_crops([packed[0], path])
    (tmp_path / "odd.manifest.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match="format 7"):
        shards.open_shard(path)


def test_command_packs(coco: tuple[Path, Path], tmp_path: Path) -> None:
    annotations, images = coco
    arguments = ["pack", "--annotations", str(annotations), "--images", str(images)]
    arguments += ["--workers", "0", "-o", str(tmp_path / "out")]
    runner = testing.CliRunner()
    result = runner.invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1 shards in" in result.output
    settings = shards.Manifest.read(tmp_path / "out" / "coco.manifest.json").settings
    defaults = PackOptions("coco")
    assert settings["margin"] == defaults.margin
    assert settings["shard_persons"] == defaults.shard_persons
    assert (settings["height"], settings["width"]) == (256, 192)
    result = runner.invoke(main, [*arguments, "--margin", "2.6"])
    assert result.exit_code == 1
    assert "margin = 1.625; now it is 2.6" in result.output
    for size in ("256", "256x", "0x192", "axb"):
        result = runner.invoke(main, [*arguments, "--size", size])
        assert result.exit_code == 2
        assert "HEIGHTxWIDTH" in result.output


def test_command_packs_mpii(tmp_path: Path) -> None:
    annotations, _ = make_mpii(tmp_path)
    arguments = ["pack", "--format", "mpii", "--annotations", str(annotations)]
    arguments += ["--images", str(tmp_path), "--workers", "0", "-o", str(tmp_path / "out")]
    result = testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    settings = shards.Manifest.read(tmp_path / "out" / "mpii.manifest.json").settings
    assert (settings["height"], settings["width"], settings["form"]) == (256, 256, "mpii")
