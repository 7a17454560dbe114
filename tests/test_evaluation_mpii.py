"""PCKh and MPII's people, against the official code's own arithmetic done by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import coco_content, write_json, write_picture
from lpn_core import evaluation
from lpn_core.evaluation import MpiiPeople
from lpn_core.keypoints import COCO17, CROWDPOSE14, MPII16
from lpn_core.model.spec import InputSpec
from lpn_core.poses import Poses
from lpn_core.preprocess import regions
from numpy.typing import NDArray

pytest.importorskip("PIL.Image")

SPEC = InputSpec(channel_order="rgb", height=256, width=256)
GROUPS = {
    "head": (9, 9), "shoulder": (12, 13), "elbow": (11, 14), "wrist": (10, 15),
    "hip": (2, 3), "knee": (1, 4), "ankle": (0, 5),
}  # fmt: skip


def brute_pckh(
    found: NDArray[np.float64],
    truth: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    sizes: NDArray[np.float64],
) -> dict[str, float]:
    """Joint by joint, person by person."""

    def ratio(joints: tuple[int, ...], limit: float) -> float:
        right = total = 0
        for person in range(len(found)):
            for joint in joints:
                if labelled[person, joint]:
                    total += 1
                    distance = math.dist(found[person, joint], truth[person, joint])
                    right += distance / sizes[person] <= limit
        return right / total

    counted = tuple(joint for joint in range(16) if joint not in (6, 7))
    result = {"PCKh": ratio(counted, 0.5), "PCKh@0.1": ratio(counted, 0.1)}
    for name, (right_side, left_side) in GROUPS.items():
        result[name] = (ratio((right_side,), 0.5) + ratio((left_side,), 0.5)) / 2
    return result


def test_pckh_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 500, (60, 16, 2))
    sizes = rng.uniform(20, 90, 60)
    found = truth + rng.normal(0, 1, (60, 16, 2)) * sizes[:, None, None] * rng.uniform(
        0.05, 0.6, (1, 16, 1)
    )
    labelled = rng.uniform(0, 1, (60, 16)) > 0.2
    # Pelvis and thorax, always wrong, do not count.
    found[:, 6:8] += 1000
    expected = brute_pckh(found, truth, labelled, sizes)
    assert evaluation.pckh(found, truth, labelled, sizes) == pytest.approx(expected, rel=1e-12)
    assert 0.02 < expected["PCKh@0.1"] < expected["PCKh"] < 0.95
    assert len(set(expected.values())) == len(expected)
    nobody = np.zeros_like(labelled)
    assert set(evaluation.pckh(found, truth, nobody, sizes).values()) == {-1.0}
    found[:] = np.nan
    assert set(evaluation.pckh(found, truth, labelled, sizes).values()) == {0.0}


def _entry(rng: np.random.Generator, image: str) -> dict[str, Any]:
    return {
        "image": image,
        "center": rng.uniform(100, 200, 2).round().tolist(),
        "scale": float(rng.uniform(0.5, 1.5)),
        "joints": rng.uniform(60, 240, (16, 2)).round(1).tolist(),
        "joints_vis": [int(value) for value in rng.uniform(0, 1, 16) > 0.2],
        "head_box": [50.0, 60.0, 80.0, 100.0],  # diagonal 50
    }


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / "images" / name, size=(300, 300))
    return [_entry(rng, name) for name in ("a.png", "b.png", "a.png")]


def test_people_are_shown_as_the_official_code_does(
    tmp_path: Path, entries: list[dict[str, Any]]
) -> None:
    people = MpiiPeople(write_json(tmp_path, entries), tmp_path)
    assert [image.path.name for image in people.images] == ["a.png", "b.png"]
    order = [entries[0], entries[2], entries[1]]
    found = regions(np.concatenate([image.boxes for image in people.images]), SPEC)
    for index, entry in enumerate(order):
        (x, y), scale = entry["center"], entry["scale"]
        # 0-based; lowered by 15 scale; 1.25 x 200 scale pixels high and wide.
        assert found.centers[index] == pytest.approx([x - 1, y + 15 * scale - 1])
        assert found.sizes[index] == pytest.approx([250 * scale] * 2)


def test_true_poses_score_one_and_shifted_ones_what_they_should(
    tmp_path: Path, entries: list[dict[str, Any]]
) -> None:
    people = MpiiPeople(write_json(tmp_path, entries), tmp_path)
    order = [[entries[0], entries[2]], [entries[1]]]

    def score(shift: float) -> dict[str, float]:
        poses = []
        for image, chosen in zip(people.images, order, strict=True):
            joints = np.array([entry["joints"] for entry in chosen], np.float32) - 1
            joints[..., 0] += np.float32(shift)
            ones = np.ones(joints.shape[:2], np.float32)
            poses.append(Poses(joints, ones, image.boxes, image.box_scores, MPII16))
        return people.metrics(poses, SPEC)

    # The head's diagonal is 50, its size 30, half of that 15.
    assert set(score(0).values()) == {1.0}
    assert (score(14.9)["PCKh"], score(14.9)["PCKh@0.1"]) == (1.0, 0.0)
    assert score(15.1)["PCKh"] == 0.0


def test_resampled_images_count_as_their_copies(
    tmp_path: Path, entries: list[dict[str, Any]]
) -> None:
    generator = np.random.default_rng(2)
    moved = {}
    for entry in entries:
        moved[id(entry)] = np.array(entry["joints"]) + generator.normal(0, 10, (16, 2)) - 1

    def people_and_poses(images: list[str]) -> tuple[MpiiPeople, list[Poses]]:
        copies, joints = [], []
        for number, name in enumerate(images):
            copied = f"{number}.png"
            write_picture(tmp_path / "images" / copied, size=(300, 300))
            shown = [entry for entry in entries if entry["image"] == name]
            copies += [{**entry, "image": copied} for entry in shown]
            joints.append(np.array([moved[id(entry)] for entry in shown], np.float32))
        people = MpiiPeople(write_json(tmp_path, copies), tmp_path)
        poses = [
            Poses(found, np.ones(found.shape[:2], np.float32), image.boxes, image.box_scores,
                  MPII16)
            for found, image in zip(joints, people.images, strict=True)
        ]  # fmt: skip
        return people, poses

    people, poses = people_and_poses(["a.png", "b.png"])
    counts = np.array([[1, 1], [2, 0], [0, 1], [3, 2]])
    resampled = people.resampled(poses, SPEC, counts)
    for row, (first, second) in enumerate(counts):
        copied, found = people_and_poses(["a.png"] * first + ["b.png"] * second)
        expected = copied.metrics(found, SPEC)
        numbers = {name: values[row] for name, values in resampled.items()}
        assert numbers == pytest.approx(expected, abs=1e-12)
    assert len({*resampled["PCKh"]}) > 2


def test_a_bias_is_taken_from_predictions_before_they_become_1_based(
    tmp_path: Path, entries: list[dict[str, Any]]
) -> None:
    """Each prediction lies 14.5 px to the left of the truth; 15 are half a head's size."""
    file = write_json(tmp_path, entries)
    order = [[entries[0], entries[2]], [entries[1]]]

    def score(**options: float) -> float:
        people = MpiiPeople(file, tmp_path, **options)
        poses = []
        for image, chosen in zip(people.images, order, strict=True):
            joints = np.array([entry["joints"] for entry in chosen], np.float32) - 1
            joints[..., 0] -= 14.5
            ones = np.ones(joints.shape[:2], np.float32)
            poses.append(Poses(joints, ones, image.boxes, image.box_scores, MPII16))
        found = people.metrics(poses, SPEC)["PCKh"]
        resampled = people.resampled(poses, SPEC, np.ones((1, 2), np.int64))
        assert resampled["PCKh"].tolist() == [found]
        return found

    assert (score(), score(bias=0.0)) == (1.0, 1.0)
    # One pixel further on both axes: beyond.
    assert score(bias=1.0) == 0.0
    assert score(bias=-2.0) == 1.0
    with pytest.raises(ValueError, match="bias is nan; wanted a number of pixels"):
        score(bias=math.nan)


def test_the_published_bias_is_lpns_alone() -> None:
    """TEST.BIAS of the official MPII configurations."""
    names = ("lpn50", "lpn152", "simplebaseline50", "hrnet_w32", None)
    assert [evaluation.published_bias(name) for name in names] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_perfect_heatmaps_score_one(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    entry = entries[0]
    people = MpiiPeople(write_json(tmp_path, [entry]), tmp_path)
    (x, y), scale = entry["center"], entry["scale"]
    centre = np.array([x - 1, y + 15 * scale - 1])
    places = (np.array(entry["joints"]) - 1 - centre) * 64 / (250 * scale) + 32
    entry["joints_vis"] = ((places > 2) & (places < 61)).all(axis=1).astype(int).tolist()
    people = MpiiPeople(write_json(tmp_path, [entry]), tmp_path)

    def network(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        assert crops.shape == (1, 256, 256, 3)
        ys, xs = np.mgrid[:64, :64]
        squared = (xs[..., None] - places[:, 0]) ** 2 + (ys[..., None] - places[:, 1]) ** 2
        return np.exp(-squared / 8)[None].astype(np.float32)

    found = evaluation.evaluate(people, network, SPEC)
    assert [value["PCKh"] for value in found.values()] == [1.0] * 4


def test_truth_from_the_matlab_file(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    io = pytest.importorskip("scipy.io")
    entries[1]["head_box"] = [10.0, 20.0, 25.0, 90.0]
    file = write_json(tmp_path, entries)
    expected = MpiiPeople(file, tmp_path)
    content = {
        "pos_gt_src": np.array([e["joints"] for e in entries]).transpose(1, 2, 0),
        "jnt_missing": 1 - np.array([e["joints_vis"] for e in entries]).T,
        "headboxes_src": np.array([e["head_box"] for e in entries])
        .reshape(-1, 2, 2)
        .T.swapaxes(0, 1),
    }
    io.savemat(tmp_path / "gt_valid.mat", content)
    for entry in entries:
        del entry["head_box"]
    file = write_json(tmp_path, entries)
    found = MpiiPeople(file, tmp_path, head_boxes=tmp_path / "gt_valid.mat")
    rng = np.random.default_rng(2)
    poses = []
    order = [[entries[0], entries[2]], [entries[1]]]
    for image, chosen in zip(found.images, order, strict=True):
        joints = np.array([entry["joints"] for entry in chosen], np.float32)
        joints += rng.normal(0, 12, joints.shape).astype(np.float32)
        ones = np.ones(joints.shape[:2], np.float32)
        poses.append(Poses(joints, ones, image.boxes, image.box_scores, MPII16))
    assert found.metrics(poses, SPEC) == expected.metrics(poses, SPEC)
    assert 0.2 < found.metrics(poses, SPEC)["PCKh"] < 0.9
    content["pos_gt_src"] = content["pos_gt_src"][:, :, :2]
    io.savemat(tmp_path / "gt_valid.mat", content)
    with pytest.raises(ValueError, match="wanted those of the 3 people"):
        MpiiPeople(file, tmp_path, head_boxes=tmp_path / "gt_valid.mat")
    with pytest.raises(ValueError, match=r"entry 0 has no head_box.*gt_valid\.mat"):
        MpiiPeople(file, tmp_path)
    (tmp_path / "gt_valid.mat").write_bytes(b"no MATLAB file" * 20)
    with pytest.raises(ValueError, match=r"wanted gt_valid\.mat of the official code"):
        MpiiPeople(file, tmp_path, head_boxes=tmp_path / "gt_valid.mat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": None}, "has no 'scale'"),
        ({"joints": [[1, 2]]}, r"shapes \(1, 2\) and \(16,\)"),
        ({"head_box": [5, 5, 5, 5]}, r"person 1 has the head box \[5.0, 5.0, 5.0, 5.0\]"),
        ({"scale": 0}, r"image 'b\.png': boxes\[0\].*positive width"),
    ],
)
def test_bad_annotations_are_refused(
    tmp_path: Path, entries: list[dict[str, Any]], change: dict[str, Any], message: str
) -> None:
    entries[1].update(change)
    entries[1] = {key: value for key, value in entries[1].items() if value is not None}
    with pytest.raises(ValueError, match=message):
        MpiiPeople(write_json(tmp_path, entries), tmp_path)


def test_a_models_joints_choose_the_metric(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    file = write_json(tmp_path, entries)
    coco = coco_content([(5, [10.0, 10.0, 30.0, 40.0])])
    assert isinstance(evaluation.open_people(MPII16, file, tmp_path), MpiiPeople)
    with pytest.raises(ValueError, match="detections are for COCO's joints"):
        evaluation.open_people(MPII16, file, tmp_path, detections=file)
    with pytest.raises(ValueError, match="head boxes are for MPII's joints"):
        evaluation.open_people(COCO17, file, tmp_path, head_boxes=file)
    with pytest.raises(ValueError, match="bias is 1: it is for MPII's joints"):
        evaluation.open_people(COCO17, file, tmp_path, bias=1.0)
    with pytest.raises(ValueError, match=r"labels the 17 joints .*; the model's are 'crowdpose14'"):
        evaluation.open_people(CROWDPOSE14, write_json(tmp_path, coco, "coco.json"), tmp_path)
    with pytest.raises(ValueError, match="wanted MPII annotations"):
        MpiiPeople(write_json(tmp_path, json.loads("{}")), tmp_path)
