"""Pictures without annotations: fingerprints, boxes, the teacher's joints, resuming, counts."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("cv2")
testing = pytest.importorskip("click.testing")

from lpn_training.cli import main  # noqa: E402
from lpn_training.data import finders, pictures  # noqa: E402
from lpn_training.data.finders import PersonDetector, ask_for_joints  # noqa: E402
from lpn_training.data.fingerprints import fingerprint, first_copies  # noqa: E402
from lpn_training.data.pack import PackOptions  # noqa: E402
from lpn_training.data.pictures import PeopleOptions, pack_pictures  # noqa: E402
from lpn_training.data.shards import Sample, open_shard, picture_number  # noqa: E402

SHARED = Path(os.environ.get("LPN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
MODELS, COCO = SHARED / "models", SHARED / "data" / "coco"
OPTIONS = PackOptions("street")
DOT = (255, 0, 0)


def photograph(seed: int, size: tuple[int, int] = (300, 400)) -> Image.Image:
    patches = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(patches).resize(size[::-1], Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, quality: int = 75) -> Image.Image:
    data = io.BytesIO()
    image.save(data, form, quality=quality)
    return Image.open(io.BytesIO(data.getvalue()))


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: encoded(image.resize((200, 150)), "jpeg", 50),
        lambda image: encoded(image.resize((256, 256)), "webp"),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: encoded(image.point(lambda value: value * 0.5), "jpeg"),
        lambda image: image.convert("P"),
    ],
    ids=["smaller", "squashed", "mirrored", "turned", "darker", "palette"],
)
def test_copies_are_recognised(copy: object) -> None:
    originals = [photograph(seed) for seed in range(4)]
    prints = [fingerprint(image) for image in originals]
    found = fingerprint(copy(originals[2]))  # type: ignore[operator]
    known, repeated = first_copies([*prints, found], [])
    assert not known.any()
    assert repeated.tolist() == [False] * 4 + [True]
    known, repeated = first_copies(prints, [found])
    assert known.tolist() == [False, False, True, False]
    assert not repeated.any()


def test_a_picture_like_one_that_is_dropped_is_dropped_for_its_own_sake() -> None:
    """B is like A and C, which are not alike: without A, B stays and C goes."""
    bits = np.zeros((3, 8, 544), np.bool_)
    bits[0, :, 0:100] = bits[1, :, 10:110] = bits[2, :, 20:120] = True
    assert first_copies(bits, [])[1].tolist() == [False, True, False]
    known, repeated = first_copies(bits, bits[:1])
    assert known.tolist() == [True, True, False]
    assert not repeated.any()


class Stand:
    """The place of an ONNX session: keeps its input, gives fixed outputs."""

    def __init__(self, dets: object, labels: object) -> None:
        self.outputs = [np.asarray(dets, np.float32)[None], np.asarray(labels, np.int64)[None]]

    def run(self, names: list[str], inputs: dict[str, object]) -> list[object]:
        assert names == ["dets", "labels"]
        (self.input,) = inputs.values()
        return list(self.outputs)


def test_detector_input_and_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture twice the detector's side: colours, padding and boxes by its conventions."""
    stand = Stand(
        [[10, 20, 60, 120, 0.5], [0, 0, 50, 50, 0.9], [-8, 150, 400, 170, 0.7], [5, 5, 5, 9, 0.6]],
        [0, 7, 0, 0],
    )
    monkeypatch.setattr(finders, "open_session", lambda *_: stand)
    pixels = np.full((320, 640, 3), (10, 20, 30), np.uint8)
    boxes, scores = PersonDetector(Path("x"))(pixels)
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    assert stand.input.shape == (1, 3, 320, 320)
    for channel, value in enumerate((30, 20, 10)):
        plane = stand.input[0, channel]
        assert np.allclose(plane[:160], (value - mean[channel]) / std[channel], rtol=1e-5)
        assert np.allclose(plane[160:], (114 - mean[channel]) / std[channel], rtol=1e-5)
    # Best first, without the other kind and what is flat, within the picture.
    assert scores.tolist() == pytest.approx([0.7, 0.5])
    assert boxes.tolist() == [[0, 300, 640, 20], [20, 40, 100, 200]]


# Of the teacher's 0.8 at a pixel half off, and a quarter for the mirrored one's shift, each way.
LOWEST = 0.8 * np.exp(-2 * 0.75**2 / 8)


class DotTeacher:
    """Sees all joints at the reddest pixel, as sure as ``height``."""

    def __init__(self, height: float = 0.8) -> None:
        self.height = height

    def __call__(self, crops: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        red = crops[..., 0] - crops[..., 1]
        ys, xs = np.arange(64)[:, None], np.arange(48)
        maps = np.zeros((len(crops), 64, 48, 17), np.float32)
        for row, found in zip(maps, red, strict=True):
            weights = np.maximum(found - 0.5 * found.max(), 0)
            y, x = np.average(np.indices(found.shape).reshape(2, -1), 1, weights.reshape(-1)) / 4
            bell = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
            row[:] = self.height * bell[..., None]
        return maps


class WholeDetector:
    """A person in the middle half of every picture that has colours, and one too small."""

    def __call__(
        self, pixels: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        height, width = pixels.shape[:2]
        if not pixels.any():
            return np.zeros((0, 4)), np.zeros(0)
        boxes = [[width / 4, height / 4, width / 2, height / 2], [3, 3, 20, 40], [0, 0, 90, 90]]
        return np.array(boxes), np.array([0.9, 0.8, 0.3])


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PeopleOptions:
    monkeypatch.setattr(pictures, "_open_models", lambda *_: (WholeDetector(), DotTeacher()))
    for name in ("detector.onnx", "teacher.onnx"):
        (tmp_path / name).write_text(name)
    return PeopleOptions(tmp_path / "detector.onnx", tmp_path / "teacher.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures with a red dot, a copy of one, an empty one, and a file that is none."""
    place = tmp_path / "street"
    (place / "deep").mkdir(parents=True)
    for seed in range(7):
        image = photograph(seed, (240, 320)).point(lambda value: value // 4)
        ImageDraw.Draw(image).ellipse((140 + seed, 110, 148 + seed, 118), fill=DOT)
        image.save(place / "deep" / f"{seed}.png")
    encoded(Image.open(place / "deep" / "3.png"), "jpeg").save(place / "copy.jpg")
    Image.new("RGB", (300, 300)).save(place / "empty.png")
    (place / "words.txt").write_text("no picture")
    return place


def samples_of(shards: list[Path]) -> list[Sample]:
    return [sample for shard in shards for sample in open_shard(shard)]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_joints_are_where_the_teacher_saw_them() -> None:
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[148:153, 198:203] = DOT
    boxes = np.array([[120.0, 60, 140, 180], [150, 100, 90, 120]])
    joints = ask_for_joints(DotTeacher(), pixels, boxes)
    assert joints.shape == (2, 17, 3)
    # The pixel's centre, as the convention of the crop has it: half a heatmap pixel at most.
    step = 180 * 1.25 / 64
    assert np.abs(joints[..., :2] - (200, 150)).max() < step / 2
    assert ((joints[..., 2] > LOWEST) & (joints[..., 2] <= 0.8)).all()


def test_people_of_pictures(folder: Path, models: PeopleOptions, tmp_path: Path) -> None:
    output = tmp_path / "shards"
    shards, dropped = pack_pictures(folder, output, OPTIONS, models, workers=0)
    assert dropped == {
        "no picture": 1, "picture to keep out": 0, "repeated picture": 1, "small box": 7,
        "picture without people": 1,
    }  # fmt: skip
    found = samples_of(shards)
    names = [sample.meta["image"] for sample in found]
    assert names == sorted(names, key=picture_number)
    # Of the two that show the same, the first by name.
    assert sorted(names) == sorted(["copy.jpg", *(f"deep/{n}.png" for n in range(7) if n != 3)])
    for sample in found:
        meta = sample.meta
        assert meta["source"] == "street"
        assert meta["detector_score"] == 0.9
        assert meta["teacher"] == hashlib.sha256(b"teacher.onnx").hexdigest()
        assert "keypoints" not in meta
        points = np.reshape(meta["teacher_keypoints"], (17, 3))
        with Image.open(io.BytesIO(sample.read())) as crop:
            pixels = np.asarray(crop.convert("RGB"), np.float64)
        red = np.maximum(pixels[..., 0] - pixels[..., 1] - 100, 0)
        y, x = np.average(np.indices(red.shape).reshape(2, -1), 1, red.reshape(-1))
        step = meta["box"][3] * 1.25 / 64
        assert np.abs(points[:, :2] - (x, y)).max() < step
        assert ((points[:, 2] > LOWEST) & (points[:, 2] <= 0.8)).all()


def test_pictures_to_keep_out_and_unsure_people(
    folder: Path, models: PeopleOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "validation").mkdir()
    with Image.open(folder / "deep" / "5.png") as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    encoded(mirrored, "jpeg").save(tmp_path / "validation" / "other.jpg")
    monkeypatch.setattr(pictures, "_open_models", lambda *_: (WholeDetector(), DotTeacher(0.2)))
    against = [tmp_path / "validation"]
    shards, dropped = pack_pictures(
        folder, tmp_path / "shards", OPTIONS, models, against=against, workers=0
    )
    assert dropped["picture to keep out"] == 1
    assert dropped["unsure teacher"] == 6
    assert samples_of(shards) == []
    (tmp_path / "words").mkdir()
    with pytest.raises(ValueError, match="holds no picture"):
        pack_pictures(folder, tmp_path / "x", OPTIONS, models, against=[tmp_path / "words"])


def test_an_interrupted_call_goes_on(
    folder: Path, models: PeopleOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PICTURES_PER_SHARD", 3)
    whole, _ = pack_pictures(folder, tmp_path / "whole", OPTIONS, models, workers=0)
    assert len(whole) == 3
    made: list[str] = []
    make = pictures.PeopleCutter.make_shard

    def interrupted(self: pictures.PeopleCutter, path: Path, names: list[str]) -> object:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(path.name)
        return make(self, path, names)

    monkeypatch.setattr(pictures.PeopleCutter, "make_shard", interrupted)
    output = tmp_path / "shards"
    with pytest.raises(KeyboardInterrupt):
        pack_pictures(folder, output, OPTIONS, models, workers=0)
    assert made == ["street-000.tar", "street-001.tar"]
    made.clear()
    monkeypatch.setattr(pictures, "scan", None)  # it is not compared again
    shards, dropped = pack_pictures(folder, output, OPTIONS, models, workers=0)
    assert made == ["street-002.tar"]
    assert hashes(output) == hashes(tmp_path / "whole")
    assert dropped["small box"] == 7  # also those of the first call
    other = PeopleOptions(models.detector, models.teacher, minimum_score=0.6)
    with pytest.raises(ValueError, match="minimum_score"):
        pack_pictures(folder, output, OPTIONS, other, workers=0)
    assert samples_of(shards)


def test_verb_says_what_it_left_out_and_draws_a_sheet(
    folder: Path, models: PeopleOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def standing(crops: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Heads above feet."""
        maps = DotTeacher()(crops)
        return np.stack([np.roll(maps[..., k], 2 * k - 16, axis=1) for k in range(17)], axis=3)

    monkeypatch.setattr(pictures, "_open_models", lambda *_: (WholeDetector(), standing))
    words = [
        "pack", "--pictures", folder, "--detector", models.detector, "--teacher", models.teacher,
        "--workers", 0, "--sheet", tmp_path / "sheet.png", "-o", tmp_path / "shards",
    ]  # fmt: skip
    result = testing.CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "1 repeated picture" in result.output
    assert (tmp_path / "shards" / "street-000.tar").exists()
    with Image.open(tmp_path / "sheet.png") as sheet:
        drawn = np.asarray(sheet)
    assert drawn.shape == (167, 7 * 125, 3)
    # Blue or orange limbs of the skeleton, which no crop has.
    assert (drawn[..., 2].astype(int) - drawn[..., 0] > 100).any()


@pytest.mark.parametrize(
    "words",
    [[], ["--pictures", "."], ["--annotations", __file__],
     ["--pictures", ".", "--annotations", __file__, "--images", "."]],
)  # fmt: skip
def test_verb_wants_one_way_to_name_the_people(words: list[str], tmp_path: Path) -> None:
    result = testing.CliRunner().invoke(main, ["pack", *words, "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "--annotations and --images, or --pictures and --detector" in result.output


@pytest.mark.skipif(
    not MODELS.exists(), reason="the shared data is not there: set LPN_SHARED to its folder"
)
def test_true_models_find_annotated_people() -> None:
    """The largest people of the first validation pictures: box and joints near the labels."""
    pytest.importorskip("onnxruntime")
    content = json.loads((COCO / "annotations" / "person_keypoints_val2017.json").read_text())
    names = {record["id"]: record["file_name"] for record in content["images"]}
    known = [entry for entry in content["annotations"] if entry["num_keypoints"] >= 15]
    detector = PersonDetector(MODELS / "rtmdet_nano_person.onnx")
    teacher = finders.OnnxTeacher(MODELS / "pp_tinypose_256x192.onnx")
    similar = []
    for entry in sorted(known, key=lambda entry: -entry["area"])[:6]:
        with Image.open(COCO / "val2017" / names[entry["image_id"]]) as image:
            pixels = np.asarray(image.convert("RGB"))
        boxes, _ = detector(pixels)
        x, y, w, h = entry["bbox"]
        low = np.maximum(boxes[:, :2], (x, y))
        high = np.minimum(boxes[:, :2] + boxes[:, 2:], (x + w, y + h))
        common = np.maximum(high - low, 0).prod(axis=1)
        overlap = common / (boxes[:, 2:].prod(axis=1) + w * h - common)
        assert overlap.max() > 0.5
        joints = ask_for_joints(teacher, pixels, boxes[[overlap.argmax()]])[0]
        labels = np.reshape(entry["keypoints"], (17, 3))
        far = np.linalg.norm(joints[:, :2] - labels[:, :2], axis=1)[labels[:, 2] > 0]
        similar.append(np.mean(far < 0.1 * max(w, h)))
    assert np.mean(similar) > 0.9
