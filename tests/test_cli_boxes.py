"""lpn predict --boxes: the forms of a boxes file, and which image they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lpn_core import PoseEstimator
from numpy.typing import NDArray

pytest.importorskip("click")
pytest.importorskip("tqdm")
Image = pytest.importorskip("PIL.Image")
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402
from lpn_core.cli.boxes import read_boxes  # noqa: E402


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo[:, :100]).save(tmp_path / "b.jpg")
    return tmp_path


def _predict(folder: Path, tiny_path: Path, boxes: object, *images: str) -> Result:
    file = folder / "boxes.json"
    file.write_text(boxes if isinstance(boxes, str) else json.dumps(boxes))
    paths = [folder / image for image in images] or [folder]
    return _run("predict", *paths, "--boxes", file, "--model", tiny_path, "--json")


def _boxes_of(result: Result) -> dict[str, list[list[float]]]:
    images: list[dict[str, Any]] = json.loads(result.stdout)["images"]
    return {Path(i["file"]).name: [p["box"] for p in i["people"]] for i in images}


BOX, OTHER = [1.0, 2.0, 30.0, 40.0], [5.0, 6.0, 50.0, 60.0]


def test_boxes_of_one_image(folder: Path, tiny_path: Path) -> None:
    result = _predict(folder, tiny_path, [BOX, OTHER], "a.png")
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX, OTHER]}


def test_boxes_by_name(folder: Path, tiny_path: Path) -> None:
    result = _predict(folder, tiny_path, {"a.png": [[*BOX, 0.5]], "b.jpg": []})
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX], "b.jpg": []}
    (person,) = json.loads(result.stdout)["images"][0]["people"]
    assert person["box_score"] == 0.5


def test_boxes_in_coco_form(folder: Path, tiny_path: Path) -> None:
    document = {
        "images": [{"id": 4, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.png"}],
        "annotations": [
            {"image_id": 9, "bbox": BOX, "score": 0.25, "category_id": 1},
            {"image_id": 9, "bbox": OTHER},
            {"image_id": 9, "bbox": OTHER, "category_id": 3},
            {"image_id": 9, "bbox": OTHER, "category_id": 1, "iscrowd": 1},
            {"image_id": 9, "bbox": [5, 6, 0, 60]},
            {"image_id": 9, "bbox": [5, 6, 50, 0.0]},
        ],
    }
    result = _predict(folder, tiny_path, document)
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX, OTHER], "b.jpg": []}
    scores = [p["box_score"] for p in json.loads(result.stdout)["images"][0]["people"]]
    assert scores == [0.25, 1.0]


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("7", "wanted a JSON list or object"),
        ([BOX], "a bare list of boxes is for one image, there are 2"),
        ([{"bbox": BOX}], "COCO detections, but 'image_id' is missing"),
        ([{"image_id": 1, "score": 1}], "COCO detections, but 'bbox' is missing"),
        ([{"image_id": 1, "bbox": BOX}, 7], "COCO detections, but damaged"),
        ([{"image_id": [1], "bbox": BOX}], "COCO detections, but damaged"),
        ({"a.png": 3}, "'a.png' is not a list of boxes"),
        ({"images": [{"id": 1}], "annotations": []}, "in COCO form, but 'file_name' is missing"),
        (
            {"images": [], "annotations": [{"image_id": 7, "bbox": BOX}]},
            "image_id 7 of an annotation is not in 'images'",
        ),
        (
            {"images": [], "annotations": [{"image_id": 7, "bbox": [1]}]},
            "in COCO form, but damaged",
        ),
    ],
)
def test_bad_boxes_files(boxes: object, words: str, folder: Path, tiny_path: Path) -> None:
    result = _predict(folder, tiny_path, boxes)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[1, "2", 3, 4]], "boxes.json: boxes[0] is [1, '2', 3, 4]; wanted numbers [x, y, w, h]"),
        ([BOX, [1, 2, None, 4]], "boxes.json: boxes[1] is [1, 2, None, 4]"),
        ([BOX, [1, 2, 3]], "boxes.json: boxes[1] is [1, 2, 3]"),
        ([1, 2, 3, 4], "boxes[0] is 1; wanted numbers [x, y, w, h], or [x, y, w, h, score]; one"),
        ([[1, 2, 3, 10**400]], "boxes[0] is [1, 2, 3,"),
        ([[1, 2, 3, True]], "boxes[0] is [1, 2, 3, True]"),
        ({"a.png": [BOX, {"x": 1}]}, "boxes.json: 'a.png': boxes[1] is {'x': 1}"),
    ],
)
def test_rows_that_are_no_boxes_are_named(
    boxes: object, words: str, folder: Path, tiny_path: Path
) -> None:
    result = _predict(folder, tiny_path, boxes, "a.png")
    assert result.exit_code == 1
    assert f"{folder / 'a.png'}: {folder / 'boxes.json'}: " in result.stderr
    assert words in result.stderr


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"bbox": [1, "2", 3, 4]}, "bbox is [1, '2', 3, 4]; wanted numbers [x, y, w, h]"),
        ({"bbox": None}, "bbox is None"),
        ({"bbox": BOX, "score": None}, "score is None; wanted a number"),
        ({"bbox": BOX, "score": "1"}, "score is '1'"),
    ],
)
def test_coco_entries_that_are_no_boxes_are_named(
    entry: dict[str, Any], words: str, folder: Path, tiny_path: Path
) -> None:
    detections = [{"image_id": 1, "bbox": BOX}, {"image_id": 1, **entry}]
    annotations = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": detections}
    for form, where in ((detections, "entry 1"), (annotations, "annotations[1]")):
        result = _predict(folder, tiny_path, form, "a.png")
        assert result.exit_code == 2
        assert f"damaged: {where}: {words}" in " ".join(result.stderr.split())


def test_boxes_from_standard_input(folder: Path, tiny_path: Path) -> None:
    arguments = ["predict", str(folder / "a.png"), "--boxes", "-", "--model", str(tiny_path)]
    result = CliRunner().invoke(main, [*arguments, "--json"], input=json.dumps([BOX, OTHER]))
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX, OTHER]}
    result = CliRunner().invoke(main, [*arguments, "--json"], input="{")
    assert result.exit_code == 2
    assert "standard input: cannot be read as JSON" in " ".join(result.stderr.split())


def test_a_byte_order_mark_is_no_fault(folder: Path, tiny_path: Path) -> None:
    result = _predict(folder, tiny_path, "\ufeff" + json.dumps([BOX]), "a.png")
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX]}


def _file(folder: Path, document: object) -> Path:
    file = folder / "boxes.json"
    file.write_text(json.dumps(document))
    return file


def test_coco_detections(tmp_path: Path) -> None:
    detections = [
        {"image_id": 1490, "category_id": 1, "bbox": BOX, "score": 0.25},
        {"image_id": 7, "category_id": 1, "bbox": OTHER, "score": 0.75},
        {"image_id": 1490, "category_id": 3, "bbox": OTHER, "score": 0.5},
        {"image_id": 1490, "bbox": OTHER, "score": 0.5},
        {"image_id": "b", "category_id": 18, "bbox": OTHER, "score": 0.5},
        {"image_id": "007", "category_id": 1, "bbox": BOX, "score": 1},
    ]
    boxes = read_boxes(_file(tmp_path, detections), 4)
    assert boxes.is_coco
    assert boxes.find(Path("x/000000001490.jpg")) == [[*BOX, 0.25], [*OTHER, 0.5]]
    assert boxes.find(Path("7.png")) == [[*OTHER, 0.75]]
    assert boxes.find(Path("007.png")) == [[*BOX, 1]]
    assert boxes.find(Path("b.jpg")) == []
    with pytest.raises(ValueError, match=r"no detections whose image_id is '08' or 8; .*file_name"):
        boxes.find(Path("08.jpg"))


def test_coco_detections_of_one_image_under_any_name(folder: Path, tiny_path: Path) -> None:
    detections = [{"image_id": 9, "category_id": 1, "bbox": BOX, "score": 0.25}]
    result = _predict(folder, tiny_path, detections, "a.png")
    assert result.exit_code == 0, result.output
    assert _boxes_of(result) == {"a.png": [BOX]}
    # Of two images, or with two ids, it would be a guess.
    result = _predict(folder, tiny_path, detections)
    assert result.exit_code == 1
    assert "no detections whose image_id is 'b'" in result.stderr
    result = _predict(folder, tiny_path, [*detections, {"image_id": 8, "bbox": OTHER}], "a.png")
    assert result.exit_code == 1


def test_names_with_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["val2017/1.jpg", "train2017/1.jpg", "2.jpg"]
    document = {
        "images": [{"id": index, "file_name": name} for index, name in enumerate(names)],
        "annotations": [{"image_id": index, "bbox": [index, 0, 5, 5]} for index in range(3)],
    }
    by_name = {name: [[index, 0, 5, 5, 1.0]] for index, name in enumerate(names)}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train2017").mkdir()
    for form, is_coco in ((document, True), (by_name, False)):
        boxes = read_boxes(_file(tmp_path, form), 3)
        assert boxes.is_coco is is_coco
        assert boxes.find(Path("/data/val2017/1.jpg")) == [[0, 0, 5, 5, 1.0]]
        assert boxes.find(Path("train2017/1.jpg")) == [[1, 0, 5, 5, 1.0]]
        assert boxes.find(Path("/data/val2017/2.jpg")) == [[2, 0, 5, 5, 1.0]]
        for other in ("/data/test2017/1.jpg", "/data/xval2017/1.jpg"):
            with pytest.raises(ValueError, match=r"no entry for '1\.jpg'"):
                boxes.find(Path(other))
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / "train2017")
            assert boxes.find(Path("1.jpg")) == [[1, 0, 5, 5, 1.0]]


def test_exif_orientation(
    tmp_path: Path, tiny_path: Path, photo: NDArray[np.uint8], estimator: PoseEstimator
) -> None:
    image = Image.fromarray(photo)
    exif = image.getexif()
    exif[0x0112] = 6
    path = tmp_path / "5.png"
    image.save(path, exif=exif)
    stored, turned = (photo.shape[1], photo.shape[0]), photo.shape[:2]
    detection: dict[str, Any] = {"image_id": 5, "bbox": BOX}
    annotations = {"images": [{"id": 1, "file_name": "5.png"}], "annotations": []}
    annotations["annotations"] = [{"image_id": 1, "bbox": BOX}]
    cases: list[tuple[object, list[str], tuple[int, ...]]] = [
        ([BOX], [], turned),
        ([BOX], ["--no-exif"], stored),
        ({"5.png": [BOX]}, [], turned),
        ([detection], [], stored),
        (annotations, [], stored),
    ]
    for document, options, size in cases:
        file = _file(tmp_path, document)
        result = _run("predict", path, "--boxes", file, "--model", tiny_path, "--json", *options)
        assert result.exit_code == 0, result.output
        (found,) = json.loads(result.stdout)["images"]
        assert (found["width"], found["height"]) == size
        wanted = estimator(path, [BOX], exif=size == turned).to_dict()
        assert found["people"] == json.loads(json.dumps(wanted["people"]))
    whole = ["predict", path, "--whole-image", "--model", tiny_path, "--json"]
    for arguments, size in ((whole, turned), ([*whole, "--no-exif"], stored)):
        (found,) = json.loads(_run(*arguments).stdout)["images"]
        assert (found["width"], found["height"]) == size
