"""COCO keypoint files as annotation tools write them: categories, orders and names of joints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import coco_content, write_json, write_picture
from lpn_core import COCO17, KeypointSet, Poses, evaluation, keypoints
from lpn_core.evaluation import CocoPeople, find_image
from lpn_core.evaluation.categories import person_category
from lpn_core.evaluation.coco_files import read_annotations
from lpn_core.model.spec import InputSpec

pytest.importorskip("PIL.Image")

FILE = Path("some.json")
SPEC = InputSpec(channel_order="rgb")
DOG = ["nose", "Left ear", "Right ear", "tail"]


def category(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "name": "person", **changes}


def content(*categories: dict[str, Any], used: tuple[int, ...] = (1,)) -> dict[str, Any]:
    annotations = [{"category_id": number, "keypoints": [1, 1, 2]} for number in used]
    return {"categories": list(categories), "annotations": annotations}


@pytest.mark.parametrize(
    "categories",
    [[], None, [category()], [category(), category(2)], [category(keypoints=[])], ["x"]],
)
def test_a_file_that_names_no_joints_has_cocos(categories: Any) -> None:
    found = person_category(FILE, {"categories": categories, "annotations": []})
    assert (found.keypoint_set, found.number, found.is_coco) == (COCO17, None, True)
    assert found.order == tuple(range(17))


@pytest.mark.parametrize(
    "spelt",
    [
        lambda name: name,
        lambda name: name.replace("_", " ").title(),
        lambda name: "".join(word.title() for word in name.split("_")),
        lambda name: re.sub(r"^(left|right)_(.*)", r"\2-\1", name),
        lambda name: name.replace("left", "L").replace("right", "R"),
        lambda name: f"  {name.upper()}",
    ],
)
@pytest.mark.parametrize("name", ["coco17", "mpii16", "crowdpose14"])
def test_joints_of_a_known_set_are_found_in_any_order_and_spelling(name: str, spelt: Any) -> None:
    known = keypoints.get(name)
    order = np.random.default_rng(1).permutation(len(known))
    joints = [spelt(known.names[index]) for index in order]
    found = person_category(FILE, content(category(keypoints=joints)))
    assert found.keypoint_set is known
    assert [int(order[index]) for index in found.order] == list(range(len(known)))
    assert not found.is_coco


def test_cocos_own_files_are_left_as_they_are() -> None:
    exact = content(category(keypoints=list(COCO17.names)))
    found = person_category(FILE, exact)
    assert found.is_coco
    assert found.people_of(exact) == exact
    other = content(category(2, keypoints=list(COCO17.names)))
    assert not person_category(FILE, other).is_coco


def test_joints_of_ones_own() -> None:
    limbs = [[1, 2], [1, 3], [3, 4]]
    found = person_category(FILE, content(category(name="Dog", keypoints=DOG, skeleton=limbs)))
    assert found.keypoint_set == KeypointSet(
        name="dog4", names=tuple(DOG), skeleton=((0, 1), (0, 2), (2, 3)), mirror_pairs=((1, 2),),
        sigmas=None,
    )  # fmt: skip
    from_0 = content(category(name="Dog", keypoints=DOG, skeleton=[[0, 1], [2, 3]]))
    assert person_category(FILE, from_0).keypoint_set.skeleton == ((0, 1), (2, 3))


@pytest.mark.parametrize("skeleton", [[[1, 9]], [[1, 1]], [[1, 2, 3]], [["a", "b"]], 3, None])
def test_a_skeleton_that_is_none_is_left_out(skeleton: Any) -> None:
    found = person_category(FILE, content(category(keypoints=DOG, skeleton=skeleton)))
    assert found.keypoint_set.skeleton == ()


def test_joints_without_sides_are_said_to_stay_in_a_mirror(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = person_category(FILE, content(category(name="coco", keypoints=["a", "b"])))
    assert found.keypoint_set.mirror_pairs == ()
    assert "none of the joints ['a', 'b'] is called left and another one right" in caplog.text


@pytest.mark.parametrize(
    ("categories", "used", "words"),
    [
        ([category(keypoints=["a", "b", "a"])], (1,), "one is twice"),
        ([category(keypoints=["a", 3])], (1,), "wanted names"),
        ([category(keypoints="nose")], (1,), "wanted names"),
        (
            [category(1, name="cat", keypoints=["a"]), category(2, name="dog", keypoints=["b"])],
            (1, 2),
            "several categories have keypoints: 'cat', 'dog'; leave those of one",
        ),
    ],
)
def test_categories_that_leave_it_open_are_refused(
    categories: list[dict[str, Any]], used: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=f"some.json: .*{words}"):
        person_category(FILE, content(*categories, used=used))


def test_of_several_categories_the_one_in_use_counts() -> None:
    named = [category(1, keypoints=["a", "b"]), category(2, keypoints=DOG)]
    assert person_category(FILE, content(*named, used=(2, 2))).keypoint_set.names == tuple(DOG)


def own_dataset(folder: Path, **changes: Any) -> Path:
    """One picture as Label Studio has it: rectangles of one category, joints of another."""
    write_picture(folder / "5.png")
    triples = [20, 20, 2, 30, 22, 2, 0, 0, 0, 40, 60, 1]
    rectangle = {"id": 0, "image_id": 5, "category_id": 0, "bbox": [1, 2, 3, 4], "area": 12}
    animal = {
        "id": 1, "image_id": 5, "category_id": 1, "bbox": [20.0, 20.0, 20.0, 40.0],
        "keypoints": triples, "num_keypoints": 3, "iscrowd": 0, **changes,
    }  # fmt: skip
    images = [{"id": 5, "file_name": "/data/upload/3/5.png", "width": 100, "height": 80}]
    categories = [category(0, name="box"), category(1, name="default", keypoints=DOG)]
    document = {"images": images, "annotations": [rectangle, animal], "categories": categories}
    return write_json(folder, document)


def test_people_with_joints_of_their_own_are_judged(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    file = own_dataset(tmp_path)
    joints = read_annotations(file)[1]
    people = evaluation.open_people(joints, file, tmp_path)
    assert isinstance(people, CocoPeople)
    (image,) = people.images
    assert image.path == tmp_path / "5.png"
    truth = np.array(people.content["annotations"][0]["keypoints"], np.float32).reshape(1, 4, 3)
    assert people.content["annotations"][0]["area"] == pytest.approx(0.53 * 20 * 40)

    def ap(moved: float) -> float:
        points = truth[..., :2] + np.float32([moved, 0])
        poses = Poses(points, np.ones((1, 4), np.float32), image.boxes, image.box_scores, joints)
        return people.metrics([poses], SPEC)["AP"]

    assert ap(0) == pytest.approx(1)
    # exp(-d^2 / (2 s^2 (2 k)^2)) of the shoulders' k and the area's s^2: thresholds below count.
    oks = np.exp(-(3.0**2) / (2 * 0.53 * 800 * (2 * 0.079) ** 2))
    assert ap(3) == pytest.approx(np.mean(np.arange(0.5, 1, 0.05) <= oks))
    assert 0 < ap(3) < 1


def test_a_model_of_other_joints_than_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels the 4 joints \('nose', .*model's are 'coco17'"):
        CocoPeople(own_dataset(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keypoints": [0] * 51}, r"\(id 1\): keypoints has 51 numbers; wanted .* of 4 joints"),
        ({"area": "large"}, r"\(id 1\): area is 'large'"),
        ({"bbox": [1]}, r"\(id 1\): bbox is \[1\]"),
    ],
)
def test_entries_of_another_form_are_named(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    for for_metric in (True, False):
        with pytest.raises(ValueError, match=words):
            read_annotations(own_dataset(tmp_path, **changes), for_metric=for_metric)


def test_joints_in_another_order_are_put_right(tmp_path: Path) -> None:
    """Equal files but for the order of joints and the category's number."""
    document = coco_content([(5, [10.0, 10.0, 30.0, 40.0])])
    values = np.arange(51, dtype=float)
    values[2::3] = 2
    document["annotations"][0]["keypoints"] = values.tolist()
    plain = read_annotations(write_json(tmp_path, document, "plain.json"))[0]
    order = np.random.default_rng(2).permutation(17)
    document["annotations"][0].update(
        keypoints=values.reshape(17, 3)[order].reshape(-1).tolist(), category_id=7
    )
    document["categories"] = [category(7, keypoints=[COCO17.names[index] for index in order])]
    found, joints = read_annotations(write_json(tmp_path, document, "other.json"))
    assert joints is COCO17
    assert found["annotations"] == plain["annotations"]
    assert json.dumps(found["categories"]) == json.dumps(plain["categories"])


@pytest.mark.parametrize(
    "address",
    [
        "a b.jpg", "images/sub/a b.jpg", "images\\sub\\a b.jpg", "/data/upload/1/a b.jpg",
        "s3://bucket/x/a%20b.jpg", "https://host/a%20b.jpg?token=1/2",
        "/data/local-files/?d=a%20b.jpg",
        "/data/local-files/?d=x/a%20b.jpg", "gs://bucket/a b.png",
    ],
)  # fmt: skip
def test_images_are_found_by_the_last_part_of_an_address(tmp_path: Path, address: str) -> None:
    write_picture(tmp_path / "images" / "a b.jpg")
    assert find_image(tmp_path, address) == tmp_path / "images" / "a b.jpg"
