"""The people of COCO annotation and detection files, and their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coco_files import write_dataset, write_json
from lpn_core import evaluation
from lpn_core.evaluation import CocoPeople

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
    ({"images": [], "annotations": []}, "with the lists images, annotations, categories"),
    ({"images": [{}], "annotations": [], "categories": []}, r"images\[0\] has no 'file_name'"),
    (
        {"images": [], "annotations": [{"image_id": 1, "bbox": [], "area": 1}], "categories": []},
        r"annotations\[0\] has no 'keypoints'.*person_keypoints",
    ),
    ({"images": [], "annotations": [], "categories": []}, "no person with a labelled joint"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ANNOTATIONS)
def test_bad_annotations_are_refused(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        CocoPeople(file, tmp_path)


BAD_DETECTIONS = [
    ({}, "wanted COCO detections, a list"),
    ([{"image_id": 5, "bbox": [1, 2, 3, 4], "score": 1}], "entry 0 is no COCO detection"),
    ([{"image_id": 5, "category_id": 1, "bbox": [1, 2], "score": 1}], "entry 0 is no COCO"),
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
