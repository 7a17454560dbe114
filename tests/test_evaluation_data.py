"""The people of COCO annotation and detection files, and their images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import coco_content, write_dataset, write_json, write_picture
from lpn_core import COCO17, Poses, evaluation, preprocess
from lpn_core.evaluation import CocoPeople
from lpn_core.model.spec import InputSpec

pytest.importorskip("PIL.Image")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path)


def test_true_boxes_are_those_of_labelled_people(dataset: Path) -> None:
    people = CocoPeople(dataset, dataset.parent)
    assert [image.image_id for image in people.images] == [5, 7]
    assert len(people) == 2
    assert people.images[0].boxes.tolist() == [[10, 10, 30, 40], [-20, 5, 60, 90]]
    assert people.images[0].box_scores.tolist() == [1, 1]
    assert people.images[1].boxes.tolist() == [[50, 20, 20, 50]]
    assert len(CocoPeople(dataset, dataset.parent, limit=1)) == 1
    clipped = CocoPeople(dataset, dataset.parent, clip=True)
    # x2 = min(99, 0 + 60 - 1), y2 = min(79, 5 + 90 - 1); the official code's sizes exclude x2.
    assert clipped.images[0].boxes.tolist() == [[10, 10, 29, 39], [0, 5, 59, 74]]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([10, 10, 30, 40], [10, 10, 29, 39]),
        ([90.5, 10, 30, 40], [90.5, 10, 8.5, 39]),
        ([-20, -5.5, 60, 20], [0, 0, 59, 19]),
        ([10, 70, 30, 40], [10, 70, 29, 9]),
        ([-5, -5, 200, 200], [0, 0, 99, 79]),
        ([10, 10, 0.5, 40], [10, 10, 0, 39]),
        ([120, 10, 30, 40], [120, 10, -21, 39]),
    ],
)
def test_boxes_are_clipped_to_the_last_pixel(box: list[float], clipped: list[float]) -> None:
    """x2 = min(width - 1, x1 + max(0, w - 1)), as the official code has it; 100 x 80 pixels."""
    assert preprocess.clip_box(np.array([box], float), 100, 80).tolist() == [clipped]


def test_detections_replace_true_boxes(dataset: Path) -> None:
    box, other = [1.0, 2.0, 30.0, 40.0], [-5.0, 0.0, 20.0, 90.0]
    detections = [
        {"image_id": 6, "category_id": 1, "bbox": box, "score": 0.25},
        {"image_id": 6, "category_id": 2, "bbox": box, "score": 0.9},
        {"image_id": 6, "category_id": 1, "bbox": [1, 2, 0, 4], "score": 0.9},
        {"image_id": 5, "category_id": 1, "bbox": other, "score": 0.5},
        {"image_id": 99, "category_id": 1, "bbox": other, "score": 0.5},
    ]
    file = write_json(dataset.parent, detections, "detections.json")
    people = CocoPeople(dataset, dataset.parent, detections=file, clip=True)
    # Nobody was found in image 7, and its person counts as missed.
    assert [image.image_id for image in people.images] == [5, 6, 7]
    assert [image.boxes.tolist() for image in people.images] == [[other], [box], []]
    assert people.images[1].box_scores.tolist() == [0.25]


@pytest.mark.parametrize(
    ("file_name", "place"),
    [
        ("a.jpg", "a.jpg"), ("a.jpg", "images/a.jpg"), ("val2017/a.jpg", "val2017/a.jpg"),
        ("val2017/a.jpg", "a.jpg"), ("val2017/a.jpg", "images/a.jpg"), ("a.jpg", "val2017/a.jpg"),
        ("a.jpg", "images/val2017/a.jpg"), ("a.jpg", "a.webp"), ("v.1/a.b.jpg", "images/a.b.png"),
    ],
)  # fmt: skip
def test_images_are_found_through_their_file_name(
    tmp_path: Path, file_name: str, place: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert evaluation.find_image(tmp_path, file_name, split="val2017") == path
    with pytest.raises(FileNotFoundError, match=r"no image 'b\.jpg'"):
        evaluation.find_image(tmp_path, "b.jpg")


BAD_ANNOTATIONS = [
    ("[", "not a JSON file"),
    ("[]", "wanted COCO annotations"),
    (
        {"images": [], "annotations": []},
        "has no list 'categories'; wanted COCO annotations, an obj",
    ),
    ({"images": [{}], "annotations": [], "categories": []}, r"images\[0\] has no 'file_name'"),
    (
        {"images": [], "annotations": [{"image_id": 1, "bbox": [], "area": 1}], "categories": []},
        r"annotations\[0\] has no 'keypoints'.*person_keypoints",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_ANNOTATIONS)
def test_bad_annotations_are_refused(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        CocoPeople(file, tmp_path)


IMAGE = {"id": 5, "file_name": "5.png", "width": 100, "height": 80}


def _one_person(**changes: Any) -> dict[str, Any]:
    """Annotations of one person in image 5; "absent" takes a key out."""
    content = coco_content([(5, [10.0, 10.0, 30.0, 40.0])])
    person = content["annotations"][0] | changes
    content["annotations"] = [{key: value for key, value in person.items() if value != "absent"}]
    return content


def _refused(folder: Path, content: dict[str, Any], message: str, **options: Any) -> None:
    write_picture(folder / "5.png")
    with pytest.raises(ValueError, match=message):
        CocoPeople(write_json(folder, content), folder, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": "absent"}, r"annotations\[0\] has no 'category_id'"),
        ({"bbox": [1, 2, 3]}, r"annotations\[0\] \(id 1\): bbox is \[1, 2, 3\]; wanted four"),
        ({"bbox": None}, "bbox is None"),
        ({"bbox": [1, 2, 3, None]}, r"bbox is \[1, 2, 3, None\]"),
        ({"bbox": [1, 2, 3, math.nan]}, r"bbox is \[1, 2, 3, nan\]"),
        ({"bbox": [1, 2, 3, [4]]}, r"bbox is \[1, 2, 3, \[4\]\]"),
        ({"bbox": [1, 2, 3, 10**30]}, "bbox is"),
        ({"area": None}, r"\(id 1\): area is None; wanted a number"),
        ({"keypoints": [1, 2, None] + [0] * 48}, r"\(id 1\): keypoints \[2\] is None"),
        ({"keypoints": [1, "2", 2] + [0] * 48}, r"keypoints \[1\] is '2'"),
        ({"keypoints": None}, "keypoints are None"),
        ({"keypoints": [1, 2, 2]}, "keypoints has 3 numbers; wanted x, y and visibility of 17"),
        ({"num_keypoints": "17"}, "num_keypoints is '17'; wanted a whole number"),
        ({"bbox": [1, 2, 3, 1e99]}, r"bbox is \[1, 2, 3, 1e\+99\]; wanted four numbers"),
        ({"iscrowd": "0"}, "iscrowd is '0'; wanted 0 or 1"),
        ({"image_id": None}, "image_id is None"),
        ({"image_id": [5]}, r"image_id is \[5\]"),
        ({"id": [1]}, r"annotations\[0\]: id is \[1\]"),
    ],
)
def test_damaged_annotations_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    _refused(tmp_path, _one_person(**changes), message)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"file_name": None}, r"images\[0\]: file_name is None"),
        ({"id": None}, r"images\[0\]: id is None"),
        ({"width": "100"}, r"images\[0\]: width is '100'"),
    ],
)
def test_damaged_images_are_named(tmp_path: Path, image: dict[str, Any], message: str) -> None:
    _refused(tmp_path, {**_one_person(), "images": [{**IMAGE, **image}]}, message)


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_entries_that_are_there_twice_are_refused(tmp_path: Path, name: str) -> None:
    content = _one_person()
    content[name] *= 2
    _refused(tmp_path, content, rf"{name}\[1\] has the id \d of \[0\]; wanted each once")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "'images' is empty"),
        ({"categories": []}, r"'categories' has the ids \[\]; wanted 1"),
        ({"categories": [{"id": 7, "name": "dog"}]}, r"'categories' has the ids \[7\]"),
        ({"annotations": []}, "no person with a labelled joint: of 0 annotations"),
        ({"images": [{**IMAGE, "id": "5"}]}, "image_id is such as 5, the ids there such as '5'"),
        (_one_person(category_id=3), "no person with a labelled joint: of 1 annotations"),
        (_one_person(iscrowd=1), "no person with a labelled joint"),
    ],
)
def test_nothing_to_evaluate_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    _refused(tmp_path, {**_one_person(), **changes}, message)


def test_detections_need_no_truth_but_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As for a test set, whose poses are found for a server to judge."""
    found = [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]
    file = write_json(tmp_path, found, "detections.json")
    write_picture(tmp_path / "5.png")
    content = write_json(tmp_path, {**_one_person(), "annotations": []})
    assert len(CocoPeople(content, tmp_path, detections=file)) == 1
    assert "of 0 annotations" in caplog.text
    assert "AP and AR are -1" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": "absent", "num_keypoints": "absent", "id": "absent"},
        {"iscrowd": False, "num_keypoints": 17.0, "id": 0, "attributes": {}, "segmentation": []},
        {"iscrowd": None, "num_keypoints": None, "image_id": 5.0, "area": 1200},
    ],
)
def test_files_of_annotation_tools(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Tools leave fields out, write integers as floats and number from 0."""
    pytest.importorskip("pycocotools")
    write_picture(tmp_path / "5.png")
    people = CocoPeople(write_json(tmp_path, _one_person(**changes)), tmp_path)
    joints = np.array(people.content["annotations"][0]["keypoints"], np.float32).reshape(1, 17, 3)
    (image,) = people.images
    poses = Poses(
        joints[..., :2], np.ones((1, 17), np.float32), image.boxes, image.box_scores, COCO17
    )
    assert people.metrics([poses], InputSpec(channel_order="rgb"))["AP"] == pytest.approx(1)


def test_a_size_that_is_not_known(tmp_path: Path) -> None:
    content = {**_one_person(), "images": [{**IMAGE, "width": None}]}
    write_picture(tmp_path / "5.png")
    (image,) = CocoPeople(write_json(tmp_path, content), tmp_path).images
    assert image.size is None


def test_a_byte_order_mark_is_no_fault(dataset: Path) -> None:
    detections = [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]
    file = write_json(dataset.parent, detections, "detections.json")
    for path in (dataset, file):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(CocoPeople(dataset, dataset.parent, detections=file)) == 3


BAD_DETECTIONS = [
    ({}, "wanted COCO detections, a list"),
    ([{"image_id": 5, "bbox": [1, 2, 3, 4], "score": 1}], "entry 0 is no COCO detection"),
    ([{"image_id": 5, "category_id": 1, "bbox": [1, 2], "score": 1}], "entry 0 is no COCO"),
    (
        [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3], "score": 1}],
        r"entry 0 .*: bbox is \[1, 2, 3\]",
    ),
    (
        [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": None}],
        "entry 0 .*: score is None, not a number",
    ),
    ([{"image_id": 5, "category_id": 1, "bbox": "1234", "score": 1}], "bbox is '1234'"),
    ([7], "entry 0 is no COCO detection .*: it is 7"),
    (
        [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 1e99], "score": 1}],
        r"image_id 5: boxes\[0\]",
    ),
    ([{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "holds no person"),
]


@pytest.mark.parametrize(("content", "message"), BAD_DETECTIONS)
def test_bad_detections_are_refused(dataset: Path, content: object, message: str) -> None:
    file = write_json(dataset.parent, content, "detections.json")
    with pytest.raises(ValueError, match=message):
        CocoPeople(dataset, dataset.parent, detections=file)
