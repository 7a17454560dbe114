"""Annotation files as they come, for packing: COCO in any layout and encoding, MPII."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")
pytest.importorskip("torch")
pytest.importorskip("click")

from click.testing import CliRunner
from lpn_core import keypoints as keypoint_sets
from lpn_core import preprocess
from lpn_core.model.spec import InputSpec
from lpn_training.cli import main
from lpn_training.data import keypoints, shards
from lpn_training.data.annotations import coco_persons, mpii_persons
from lpn_training.data.crops import load_crops
from lpn_training.data.pack import Cutter, PackOptions, pack
from lpn_training.data.shards import Encoded, write_shard
from training_data import make_coco, make_mpii


@pytest.mark.parametrize("name", sorted(keypoint_sets.KEYPOINT_SETS))
def test_a_mirror_exchanges_left_and_right(name: str) -> None:
    names, joints = keypoint_sets.get(name).names, keypoints.joint_set_of(keypoint_sets.get(name))
    swap = {"left": "right", "right": "left"}
    sides = [entry.split("_") for entry in names]
    mirrored = ["_".join((swap.get(side, side), *rest)) for side, *rest in sides]
    assert [names[index] for index in joints.mirror] == mirrored
    assert joints.size == len(names)


def test_coco_persons(tmp_path: Path) -> None:
    path, _ = make_coco(tmp_path)
    content = json.loads(path.read_text())
    del content["annotations"][3]["keypoints"]
    content["annotations"][4]["bbox"] = [395, 10, 80, 400]
    content["annotations"][5]["bbox"] = [400, 10, 80, 40]
    path.write_text(json.dumps(content))
    persons, _ = coco_persons(path, "some")
    # Neither the crowd nor the one whose box lies outside.
    assert [person.key for person in persons] == [f"some_{index:012d}" for index in range(1, 6)]
    assert persons[2].image == "0002.png"
    # The official clipping takes the last pixel for the corner.
    assert persons[2].box == (80, 30, 159, 199)
    assert persons[4].box == (395, 10, 4, 289)
    expected = np.reshape(content["annotations"][2]["keypoints"], (17, 3))
    assert np.array_equal(persons[2].keypoints, expected)
    assert not persons[3].keypoints.any()


def _changed(path: Path, name: str, index: int, changes: dict[str, object]) -> None:
    """Changes an entry of an annotation file; "absent" takes a key out."""
    content = json.loads(path.read_text())
    entry = content[name][index] | changes
    content[name][index] = {key: value for key, value in entry.items() if value != "absent"}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": "absent", "area": "absent", "num_keypoints": "absent"},
        {"iscrowd": False, "area": None, "num_keypoints": 17.0},
        {"image_id": 0.0, "id": 1.0, "category_id": 0, "segmentation": [], "attributes": {}},
        {"category_id": "absent", "score": "high", "bbox": [80.0, 30.0, 160.0, 200.0]},
    ],
)
def test_coco_files_of_annotation_tools(tmp_path: Path, changes: dict[str, object]) -> None:
    """Tools leave fields out, write integers as floats and number categories from 0."""
    path, _ = make_coco(tmp_path, 1)
    content = json.loads(path.read_text())
    del content["categories"]
    path.write_text(json.dumps(content))
    (expected,), _ = coco_persons(path, "some")
    _changed(path, "annotations", 0, changes)
    (person,), _ = coco_persons(path, "some")
    assert (
        (person.key, person.image)
        == (expected.key, expected.image)
        == (
            "some_000000000001",
            "0000.png",
        )
    )
    assert person.area == (None if "area" in changes else expected.area)
    assert np.array_equal(person.keypoints, expected.keypoints)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a JSON file"),
        ('{"images": []}', "annotations.json has no list 'annotations'; wanted COCO annotations"),
        ("[]", "annotations.json has no list 'images'; wanted COCO annotations"),
        ('{"images": 3, "annotations": []}', "has no list 'images'"),
    ],
)
def test_wrong_coco_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        coco_persons(path, "coco")


PERSON = r"annotations\[0\] \(id 1\): "


@pytest.mark.parametrize(
    ("name", "index", "changes", "words"),
    [
        ("images", 1, {"id": "absent"}, r"images\[1\] has no 'id'"),
        ("images", 1, {"id": 0}, r"images\[1\] has the id 0 of \[0\]; wanted each once"),
        ("images", 1, {"file_name": "absent"}, r"images\[1\] has no 'file_name'"),
        ("images", 1, {"file_name": 3}, r"images\[1\]: file_name is 3; wanted the image's name"),
        ("images", 1, {"width": "wide"}, r"images\[1\]: width is 'wide'; wanted a number"),
        (
            "annotations",
            0,
            {"id": "absent"},
            r"annotations\[0\]: id is None; wanted a whole number",
        ),
        ("annotations", 0, {"id": "x"}, r"annotations\[0\] \(id 'x'\): id is 'x'; wanted a whole"),
        (
            "annotations",
            0,
            {"id": -3},
            r"annotations\[0\] \(id -3\): id is -3; wanted a whole number of 0 or more",
        ),
        ("annotations", 0, {"id": True}, r"annotations\[0\]: id is True; wanted a whole number"),
        ("annotations", 0, {"bbox": "absent"}, r"annotations\[0\] has no 'bbox'"),
        ("annotations", 0, {"bbox": [1, 2, 3]}, PERSON + r"bbox is \[1, 2, 3\]; wanted four"),
        ("annotations", 0, {"bbox": [1, 2, 3, math.nan]}, PERSON + "bbox is"),
        ("annotations", 0, {"bbox": [1, 2, 3, 1e99]}, PERSON + "bbox is"),
        ("annotations", 0, {"area": "large"}, PERSON + "area is 'large'; wanted a number"),
        ("annotations", 0, {"image_id": "absent"}, r"annotations\[0\] has no 'image_id'"),
        ("annotations", 0, {"image_id": [1]}, PERSON + r"image_id is \[1\]"),
        ("annotations", 0, {"iscrowd": "0"}, PERSON + "iscrowd is '0'; wanted 0 or 1"),
        ("annotations", 0, {"num_keypoints": 1.5}, PERSON + "num_keypoints is 1.5; wanted a whole"),
        ("annotations", 0, {"keypoints": 3}, PERSON + "keypoints are 3; wanted x, y and"),
        ("annotations", 0, {"keypoints": [0] * 48}, PERSON + "keypoints has 48 numbers; wanted"),
        ("annotations", 0, {"keypoints": ["x"] * 51}, PERSON + r"keypoints \[0\] is 'x'"),
    ],
)
def test_entries_of_another_form_are_named(
    tmp_path: Path, name: str, index: int, changes: dict[str, object], words: str
) -> None:
    path, images = make_coco(tmp_path, 2)
    _changed(path, name, index, changes)
    arguments = ["pack", "--annotations", path, "--images", images, "-o", tmp_path / "shards"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1, result.output
    assert re.search(f"{path.name}: {words}", " ".join(result.output.split()))


def test_boxes_are_not_clipped_to_an_unknown_size(tmp_path: Path) -> None:
    path, images = make_coco(tmp_path, 2)
    content = json.loads(path.read_text())
    del content["images"][0]["width"]
    content["images"][1]["height"] = None
    content["annotations"][0]["bbox"] = [-5, 10, 500, 400]
    content["annotations"][2] = {"image_id": 0, "iscrowd": 1}
    path.write_text(json.dumps(content))
    boxes = [person.box for person in coco_persons(path, "coco")[0]]
    assert boxes == [(-5.0, 10.0, 500.0, 400.0), tuple(content["annotations"][1]["bbox"])]
    assert len(pack(path, images, tmp_path / "out", PackOptions("coco"), workers=0)) == 1


@pytest.mark.parametrize("folder", ["", "images", "val2017", "images/val2017"])
def test_layouts_give_the_same_shards(tmp_path: Path, folder: str) -> None:
    annotations, images = make_coco(tmp_path / "one")
    options = PackOptions("coco")
    expected = pack(annotations, images, tmp_path / "a", options, workers=0)
    shutil.copytree(images, tmp_path / "two" / folder, dirs_exist_ok=True)
    found = pack(annotations, tmp_path / "two", tmp_path / "b", options, workers=0)
    assert [p.read_bytes() for p in found] == [p.read_bytes() for p in expected]


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".jpg", mode) for mode in ("RGB", "L", "CMYK")),
        *((".png", mode) for mode in ("RGB", "L", "P", "RGBA")),
        *((".webp", mode) for mode in ("RGB", "RGBA")),
        *((".tiff", mode) for mode in ("RGB", "L", "CMYK")),
    ],
)
def test_any_encoding_is_packed(tmp_path: Path, suffix: str, mode: str) -> None:
    """Also one that the annotations do not name, and with an EXIF orientation."""
    annotations, images = make_coco(tmp_path, 1)
    picture = Image.open(images / "0000.png").convert(mode)
    (images / "0000.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(images / f"0000{suffix}", exif=exif, quality=95)
    cutter = Cutter(images, "", "coco17", PackOptions("coco"))
    encoded = list(cutter.encode(coco_persons(annotations, "coco")[0]))
    assert len(encoded) == 1
    shards.write_shard(tmp_path / "found.tar", encoded)
    # Not by its path: where Pillow 13 maps a TIFF file into memory, it garbles one that is turned.
    with (images / f"0000{suffix}").open("rb") as file:
        colour = Image.open(file).convert("RGB")
    Image.fromarray(np.asarray(colour)).save(images / "plain.png")
    (images / f"0000{suffix}").unlink()
    (images / "plain.png").rename(images / "0000.png")
    assert list(cutter.encode(coco_persons(annotations, "coco")[0])) == encoded


def test_missing_image_names_the_places(tmp_path: Path) -> None:
    annotations, images = make_coco(tmp_path, 2)
    (images / "0001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"'0001.png'.*val2017"):
        pack(annotations, images, tmp_path / "out", PackOptions("coco"), workers=0)


def test_image_of_16_bits_is_refused(tmp_path: Path) -> None:
    annotations, images = make_coco(tmp_path, 1)
    Image.fromarray(np.full((300, 400), 700, np.uint16)).save(images / "0000.png")
    with pytest.raises(ValueError, match=r"0000.png has .*8 bits"):
        pack(annotations, images, tmp_path / "out", PackOptions("coco"), workers=0)


def official_mpii_region(entry: dict[str, object]) -> tuple[np.ndarray, float]:
    """Centre and side of the region as the official data set class computes them."""
    centre = np.array(entry["center"], np.float64)
    scale = float(entry["scale"])  # type: ignore[arg-type]
    if centre[0] != -1:
        centre[1] = centre[1] + 15 * scale
        scale = scale * 1.25
    return centre - 1, scale * 200


def test_mpii_persons(tmp_path: Path) -> None:
    path, entries = make_mpii(tmp_path)
    spec = InputSpec(channel_order="rgb", height=256, width=256)
    for index, (entry, person) in enumerate(
        zip(entries, mpii_persons(path, "mpii")[0], strict=True)
    ):
        assert (person.key, person.image) == (f"mpii_{index:06d}", f"{index}.jpg")
        where = preprocess.regions(np.array([person.box]), spec)
        centre, side = official_mpii_region(entry)
        assert np.abs(where.centers[0] - centre).max() <= 1e-9
        assert np.abs(where.sizes[0] - side).max() <= 1e-9
        visible = np.array(entry["joints_vis"]) > 0
        assert person.keypoints[:, 2].tolist() == visible.astype(float).tolist()
        expected = np.array(entry["joints"])[visible] - 1
        assert np.array_equal(person.keypoints[visible, :2], expected)
        assert not person.keypoints[~visible].any()


def test_wrong_mpii_is_refused(tmp_path: Path) -> None:
    path, entries = make_mpii(tmp_path)
    path.write_text(json.dumps({"annolist": []}))
    with pytest.raises(ValueError, match="a list of persons"):
        mpii_persons(path, "mpii")
    for bad in (3, {**entries[0], "center": "x"}, {**entries[0], "joints": [[0, 0], [1]]}):
        path.write_text(json.dumps([entries[0], bad]))
        with pytest.raises(ValueError, match=r"valid\.json: person 1 "):
            mpii_persons(path, "mpii")
    path.write_text(json.dumps([{**entries[0], "joints": [[0, 0]] * 14}]))
    with pytest.raises(ValueError, match=r"person 0 has joints of shape \(14, 2\)"):
        mpii_persons(path, "mpii")
    del entries[1]["scale"]
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="person 1 lacks scale"):
        mpii_persons(path, "mpii")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"box": [1, 2]}, r"member k.json has the box \[1, 2\]; wanted \[x, y, width"),
        ({"box": [1, 2, 0, 5]}, "with a positive width and height"),
        ({"box": [1, 2, 3, "x"]}, "with a positive width and height"),
        (
            {"keypoints": [0] * 51, "labelled_joints": [40]},
            "labelled_joints is .40.; .*0 to 16",
        ),
        ({"keypoints": [0] * 50}, "keypoints hold 50 values; 51 are wanted"),
    ],
)
def test_json_of_a_sample_is_checked(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "png")
    meta = {"source": "s", "box": [0, 0, 5, 5], **changes}
    write_shard(tmp_path / "s.tar", [Encoded("k", "png", stream.getvalue(), meta)])
    with pytest.raises(ValueError, match=words):
        load_crops([tmp_path / "s.tar"], workers=0)
