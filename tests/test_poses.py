"""The result: access, JSON, COCO, CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lpn_core import COCO17, KeypointSet, Pose, Poses


def _poses(entry: KeypointSet = COCO17, people: int = 3, low: float = -0.1) -> Poses:
    generator = np.random.default_rng(7)
    joints = len(entry)
    return Poses(
        generator.uniform(20, 100, (people, joints, 2)).astype(np.float32),
        generator.uniform(low, 1.2, (people, joints)).astype(np.float32),
        generator.uniform(10, 100, (people, 4)),
        generator.uniform(0.3, 1, people),
        entry,
    )


def test_access() -> None:
    people = _poses()
    assert len(people) == 3
    assert isinstance(people[0], Pose)
    np.testing.assert_array_equal(people[-1].keypoints, people.keypoints[2])
    assert [pose.box_score for pose in people] == people.box_scores.tolist()
    assert isinstance(people[1:], Poses)
    assert len(people[1:]) == 2
    best = people[people.box_scores > people.box_scores.min()]
    assert len(best) == 2
    assert len(people[[2, 0]]) == 2
    np.testing.assert_array_equal(people[[2, 0]].boxes, people.boxes[[2, 0]])
    np.testing.assert_array_equal(people[[False, True, False]].boxes, people.boxes[1:2])
    np.testing.assert_array_equal(people[np.array([1, -1])].boxes, people.boxes[[1, 2]])
    assert isinstance(people[np.int64(1)], Pose)
    assert len(people[[]]) == 0
    for index in (3, -4):
        with pytest.raises(IndexError, match="of 3"):
            people[index]
    assert repr(people) == "<Poses of 3 people, coco17>"


@pytest.mark.parametrize(
    "index",
    [
        True, np.True_, 1.0, "0", None, ..., (0, 1), {0}, [0.5], ["a"], [[0, 1]], [[0], [1, 2]],
        np.array(1), np.zeros(2), np.zeros((1, 2), int), np.zeros((3, 17), bool), np.zeros(0),
    ],
    ids=repr,
)  # fmt: skip
def test_indices_of_other_kinds(index: Any) -> None:
    with pytest.raises(TypeError, match="poses are indexed by an integer, a slice, or a list or"):
        _poses()[index]


def test_scores_are_clipped_and_raw_ones_are_not() -> None:
    people = _poses()
    assert people.raw_scores.max() > 1
    assert people.raw_scores.min() < 0
    assert people.scores.max() == 1
    assert people.scores.min() == 0
    np.testing.assert_array_equal(people[1].scores, people.scores[1])


def test_to_coco() -> None:
    people = _poses()
    results = json.loads(json.dumps(people.to_coco(image_id=7)))
    assert len(results) == 3
    for index, entry in enumerate(results):
        assert entry["image_id"] == 7
        assert entry["category_id"] == 1
        raw = people.raw_scores[index].astype(np.float64)
        mean = raw[raw > 0.2].mean()
        assert entry["score"] == pytest.approx(people.box_scores[index] * mean, rel=1e-12)
        triples = np.array(entry["keypoints"]).reshape(17, 3)
        np.testing.assert_array_equal(triples[:, :2], people.keypoints[index].astype(float))
        np.testing.assert_array_equal(triples[:, 2], raw)
        assert list(entry) == ["image_id", "category_id", "keypoints", "score"]


def test_to_coco_is_read_by_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    ground = tmp_path / "ground.json"
    categories = [{"id": 1, "name": "person", "keypoints": COCO17.names, "skeleton": []}]
    ground.write_text(
        json.dumps({"images": [{"id": 7}], "annotations": [], "categories": categories, "info": {}})
    )
    results = coco.COCO(str(ground)).loadRes(_poses().to_coco(image_id=7))
    assert len(results.anns) == 3


def test_person_without_a_sure_joint_scores_nothing() -> None:
    people = _poses()
    unsure = Poses(
        people.keypoints,
        np.full_like(people.raw_scores, 0.2),
        people.boxes,
        people.box_scores,
        COCO17,
    )
    assert [entry["score"] for entry in unsure.to_coco(1)] == [0, 0, 0]


def test_nan_joints_are_json() -> None:
    people = _poses()
    people.keypoints[0, 2] = np.nan
    people.raw_scores[0, 2] = 0
    document = json.loads(json.dumps(people.to_dict(), allow_nan=False))
    assert document["people"][0]["keypoints"][2] == {
        "name": "right_eye",
        "x": None,
        "y": None,
        "score": 0.0,
    }
    (first, *_) = json.loads(json.dumps(people.to_coco(1), allow_nan=False))
    assert first["keypoints"][6:9] == [0, 0, 0]


def test_to_dict() -> None:
    people = _poses()
    document = json.loads(json.dumps(people.to_dict(), allow_nan=False))
    assert document["keypoint_set"] == "coco17"
    for person, pose in zip(document["people"], people, strict=True):
        assert person["box"] == pose.box.tolist()
        assert person["box_score"] == pose.box_score
        assert person["score"] == pose.score
        assert [joint["name"] for joint in person["keypoints"]] == list(COCO17.names)
        found = [[joint["x"], joint["y"]] for joint in person["keypoints"]]
        np.testing.assert_array_equal(found, pose.keypoints.astype(float))


def test_to_csv(tmp_path: Path) -> None:
    people = _poses()
    path = tmp_path / "poses.csv"
    text = people.to_csv(path)
    assert path.read_text() == text == people.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3 * 17
    assert rows[18]["person"] == "1"
    assert rows[18]["keypoint"] == "left_eye"
    assert float(rows[18]["x"]) == pytest.approx(people.keypoints[1, 1, 0], rel=1e-5)
    assert float(rows[18]["score"]) == pytest.approx(people.scores[1, 1], rel=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["poses.csv"]
