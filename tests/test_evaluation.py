"""COCO evaluation: metric, rescoring, suppression, data sets, and poses across batches."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from coco_files import coco_content, write_dataset, write_json, write_picture
from lpn_core import PoseEstimator, evaluation
from lpn_core.evaluation import CocoPeople, ImagePeople
from lpn_core.keypoints import COCO17
from lpn_core.model.spec import DecodeSpec, InputSpec
from lpn_core.poses import Poses
from numpy.typing import NDArray

Image = pytest.importorskip("PIL.Image")

SHARED = Path(os.environ.get("LPN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PARITY = SHARED / "data" / "eval_parity"
needs_pairs = pytest.mark.skipif(
    not PARITY.exists(), reason="the shared data is not there: set LPN_SHARED to its folder"
)


# --- Metric ------------------------------------------------------------------------------------


@needs_pairs
@pytest.mark.parametrize("pair", ["pair_a", "pair_b"])
def test_average_precision_equals_pycocotools(pair: str) -> None:
    pytest.importorskip("pycocotools")
    content, results = (
        json.loads((PARITY / f"{pair}_{part}.json").read_text()) for part in ("gt", "dt")
    )
    expected = json.loads((PARITY / "expected.json").read_text())
    before = copy.deepcopy((content, results))
    found = evaluation.average_precision(content, results)
    names = [name.replace("-", "") for name in found]
    assert names == expected["order"]
    assert list(found.values()) == pytest.approx(expected[pair], abs=1e-6)
    assert (content, results) == before


def test_no_results_score_nothing() -> None:
    pytest.importorskip("pycocotools")
    content = coco_content([(7, [10.0, 10.0, 50.0, 60.0])])
    found = evaluation.average_precision(content, [])
    # 50 x 60 px are a medium person; there is no large one.
    assert found["AP"] == found["AP-M"] == found["AR"] == 0
    assert found["AP-L"] == found["AR-L"] == -1


@pytest.mark.parametrize("key", ["num_keypoints", "iscrowd", "id"])
def test_what_other_tools_leave_out_is_made_up(key: str) -> None:
    pytest.importorskip("pycocotools")
    content = coco_content([(7, [10.0, 10.0, 50.0, 60.0]), (7, [40.0, 20.0, 40.0, 50.0])], labels=9)
    results = [
        {"image_id": 7, "category_id": 1, "score": 0.9 - index / 2,
         "keypoints": entry["keypoints"]}
        for index, entry in enumerate(content["annotations"])
    ]  # fmt: skip
    content["annotations"].append({**content["annotations"][0], "id": 3, "keypoints": [0] * 51})
    content["annotations"][2]["num_keypoints"] = 0
    expected = evaluation.average_precision(content, results)
    assert expected["AP"] == pytest.approx(1.0)
    for entry in content["annotations"]:
        del entry[key]
    before = copy.deepcopy(content)
    assert evaluation.average_precision(content, results) == expected
    assert content == before


def test_a_match_with_id_0_counts() -> None:
    pytest.importorskip("pycocotools")
    content = coco_content([(7, [10.0, 10.0, 50.0, 60.0])])
    content["annotations"][0]["id"] = 0
    joints = content["annotations"][0]["keypoints"]
    record = {"image_id": 7, "category_id": 1, "keypoints": joints, "score": 1.0}
    assert evaluation.average_precision(content, [record])["AP"] == pytest.approx(1.0)


def test_results_of_unknown_images_are_refused() -> None:
    pytest.importorskip("pycocotools")
    content = coco_content([(7, [10.0, 10.0, 50.0, 60.0])])
    record = {"image_id": 8, "category_id": 1, "keypoints": [0.0] * 51, "score": 1.0}
    with pytest.raises(ValueError, match="image_id 8"):
        evaluation.average_precision(content, [record])


def test_missing_pycocotools_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ImportError, match=r'pip install "lpn-core\[eval\]"'):
        evaluation.average_precision(coco_content([(7, [10.0, 10.0, 50.0, 60.0])]), [])


# --- Rescoring and suppression -----------------------------------------------------------------


def brute_person_score(joints: list[float], box: float) -> float:
    counted = [score for score in joints if score > 0.2]
    return box * sum(counted) / len(counted) if counted else 0.0


def brute_nms(
    poses: NDArray[np.float64], scores: list[float], areas: list[float], sigmas: tuple[float, ...]
) -> list[int]:
    """Every pair by itself, in plain Python: kept unless too like a better one that was kept."""

    def similarity(a: int, b: int) -> float:
        total = 0.0
        for joint, sigma in enumerate(sigmas):
            dx, dy = (float(v) for v in poses[a, joint] - poses[b, joint])
            total += math.exp(
                -(dx * dx + dy * dy) / (2 * (areas[a] + areas[b]) / 2 * (2 * sigma) ** 2)
            )
        return total / len(sigmas)

    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for index in order:
        if all(similarity(index, better) <= 0.9 for better in kept):
            kept.append(index)
    return kept


def test_rescoring_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform(-0.2, 1.1, (200, 17)) * rng.choice([0.2, 1.0], (200, 1))
    joints[0], joints[1] = 0.2, 0.1
    boxes = rng.uniform(0, 1, 200)
    expected = [brute_person_score(list(row), box) for row, box in zip(joints, boxes, strict=True)]
    found = evaluation.person_scores(joints, boxes)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[0] == found[1] == 0
    assert len(set(found)) > 150


@pytest.mark.parametrize("seed", range(8))
def test_suppression_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 40
    # A few people, each found several times, more or less exactly, by boxes of all sizes.
    people = rng.uniform(0, 400, (6, 17, 2))
    noise = rng.uniform(0, 12, (count, 1, 1)) * rng.standard_normal((count, 17, 2))
    poses = people[rng.integers(0, 6, count)] + noise
    scores = rng.uniform(0, 1, count).round(1)
    areas = rng.uniform(3e3, 6e4, count)
    assert COCO17.sigmas is not None
    expected = brute_nms(poses, scores.tolist(), areas.tolist(), COCO17.sigmas)
    assert evaluation.oks_nms(poses, scores, areas) == expected
    assert 6 < len(expected) < count - 5
    assert evaluation.oks_nms(poses[:0], scores[:0], areas[:0]) == []


def test_suppression_takes_the_area_of_the_padded_box(tmp_path: Path) -> None:
    """Detections of one person, each a little off: a box of its own size does not say which go."""
    rng = np.random.default_rng(3)
    count, spec = 40, InputSpec(channel_order="rgb")
    size = rng.uniform(20, 60, (count, 2))
    boxes = np.concatenate([rng.uniform(0, 20, (count, 2)), size], axis=1)
    keypoints = rng.uniform(10, 60, (17, 2)) + rng.normal(0, 1.2, (count, 17, 2))
    scores = rng.uniform(0.3, 0.9, (count, 17)).astype(np.float32)
    box_scores = rng.uniform(0.1, 1, count)
    poses = Poses(keypoints.astype(np.float32), scores, boxes, box_scores, COCO17)
    content = coco_content([(7, [10.0, 10.0, 50.0, 60.0])])
    write_picture(tmp_path / "7.png")
    people = CocoPeople(write_json(tmp_path, content), tmp_path)

    found = people.results([poses], spec, nms=True)

    assert COCO17.sigmas is not None
    ranks = [brute_person_score(list(map(float, scores[i])), box_scores[i]) for i in range(count)]
    _, padded = reference.padded_box(boxes, 192 / 256, 1.25)
    kept = {}
    for name, areas in (("padded", padded.prod(axis=1)), ("plain", size.prod(axis=1))):
        kept[name] = brute_nms(poses.keypoints, ranks, areas.tolist(), COCO17.sigmas)
    assert kept["padded"] != kept["plain"]
    expected = [ranks[index] for index in kept["padded"]]
    assert [record["score"] for record in found] == pytest.approx(expected, rel=1e-12)


def test_oks_equals_pycocotools() -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 100, (17, 2))
    found = truth + rng.normal(0, 8, (5, 17, 2))
    triples = np.concatenate((truth, np.full((17, 1), 2.0)), axis=1)
    content = coco_content([(7, [0.0, 0.0, 100.0, 100.0])])
    content["annotations"][0].update(keypoints=triples.reshape(-1).tolist(), area=5000.0)
    results = [
        {"image_id": 7, "category_id": 1, "score": 1 - i / 10,
         "keypoints": np.concatenate((pose, np.ones((17, 1))), 1).reshape(-1).tolist()}
        for i, pose in enumerate(found)
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = content
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "keypoints")
        judge._prepare()
        expected = judge.computeOks(7, 1)[:, 0]
    # With both areas the truth's, the two definitions are one.
    assert evaluation.oks(truth, found, 5000.0, np.full(5, 5000.0)) == pytest.approx(expected)


def test_results_are_rescored_suppressed_and_without_boxes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    keypoints = rng.uniform(0, 90, (3, 17, 2)).astype(np.float32)
    keypoints[1] = keypoints[0] + 0.25
    keypoints[2, 4] = np.nan
    raw = rng.uniform(0.3, 0.9, (3, 17)).astype(np.float32)
    raw[2, 4] = 0
    boxes, box_scores = np.tile([0.0, 0, 90, 90], (3, 1)), np.array([0.5, 0.9, 0.7])
    poses = Poses(keypoints, raw, boxes, box_scores, COCO17)
    everyone = evaluation.coco_results(9, poses)
    assert [list(record) for record in everyone] == [
        ["image_id", "category_id", "keypoints", "score"]
    ] * 3
    assert everyone[2]["keypoints"][12:15] == [0.0, 0.0, 0.0]
    expected = [brute_person_score(list(map(float, raw[i])), box_scores[i]) for i in range(3)]
    assert [record["score"] for record in everyone] == pytest.approx(expected, rel=1e-12)
    assert [person.score for person in poses] == [record["score"] for record in everyone]
    kept = evaluation.coco_results(9, poses, areas=np.full(3, 8100.0))
    assert kept == [everyone[1], everyone[2]]
    path = tmp_path / "results.json"
    evaluation.write_results(path, kept)
    assert json.loads(path.read_text()) == kept
    assert list(tmp_path.iterdir()) == [path]


def test_to_coco_scores_what_evaluation_says(tmp_path: Path) -> None:
    """By pycocotools alone; the boxes are of another COCO size than the joints in them."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(3)
    content = coco_content([(image, [10.0, 10.0, 30.0, 40.0]) for image in (5, 6, 7)])
    sides = {5: 50.0, 6: 75.0, 7: 130.0}
    everyone = []
    for entry in content["annotations"]:
        side = sides[entry["image_id"]]
        joints = rng.uniform(0, side, (17, 2))
        triples = np.concatenate([joints, np.full((17, 1), 2.0)], axis=1)
        entry.update(keypoints=triples.reshape(-1).tolist(), area=side * side)
        write_picture(tmp_path / f"{entry['image_id']}.png")
        # The person, and a medium one who is not there.
        stranger = rng.uniform(300, 360, (1, 17, 2))
        everyone.append(
            Poses(
                np.concatenate([joints[None], stranger]).astype(np.float32),
                rng.uniform(0.3, 0.9, (2, 17)).astype(np.float32),
                np.array([[0.0, 0, 300, 300], [200, 200, 300, 300]]),
                np.array([0.3, 0.9]),
                COCO17,
            )
        )
    people = CocoPeople(write_json(tmp_path, content), tmp_path)
    expected = people.metrics(everyone, InputSpec(channel_order="rgb"))
    assert 0 < expected["AP-M"] < 0.9
    assert expected["AP-L"] == pytest.approx(1)
    images = [image.image_id for image in people.images]
    records = [r for i, poses in zip(images, everyone, strict=True) for r in poses.to_coco(i)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(write_json(tmp_path, {"info": {}, **content})))
        judge = COCOeval(truth, truth.loadRes(str(write_json(tmp_path, records, "results.json"))),
                         "keypoints")  # fmt: skip
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert dict(zip(evaluation.METRICS, judge.stats.tolist(), strict=True)) == expected


# --- Poses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_poses_are_those_of_the_estimator(
    tmp_path: Path, estimator: PoseEstimator, flip: bool, batch: int
) -> None:
    people = CocoPeople(write_dataset(tmp_path), tmp_path)
    model = estimator.model
    own, other = model.decode, DecodeSpec(kind="argmax", beta=None, flip_shift=2)
    found = evaluation.find_poses(
        people.images, model, model.input, model.keypoint_set,
        decodes={"own": own, "other": other}, flip=flip, batch=batch,
    )  # fmt: skip
    assert found.keys() == {"own", "other"}
    for image, poses in zip(people.images, found["own"], strict=True):
        expected = estimator(image.path, image.boxes, flip=flip)
        assert np.array_equal(poses.keypoints, expected.keypoints)
        assert np.array_equal(poses.raw_scores, expected.raw_scores)
    assert not np.array_equal(found["own"][0].keypoints, found["other"][0].keypoints)


def test_pixels_are_taken_as_stored(tmp_path: Path, estimator: PoseEstimator) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    boxes, model = np.array([[10.0, 10.0, 40.0, 50.0]]), estimator.model
    image = ImagePeople(1, tmp_path / "a.png", boxes, np.ones(1), (100, 80))

    def find(image: ImagePeople) -> Poses:
        decodes = {"own": model.decode}
        poses = evaluation.find_poses(
            [image], model, model.input, model.keypoint_set, decodes=decodes
        )
        return poses["own"][0]

    expected = estimator(pixels, boxes, order="rgb")
    assert np.array_equal(find(image).keypoints, expected.keypoints)
    turned = ImagePeople(1, image.path, boxes, np.ones(1), (80, 100))
    with pytest.raises(ValueError, match="is 100 x 80 pixels, but the annotations say 80 x 100"):
        find(turned)


def test_perfect_heatmaps_reach_full_ap(tmp_path: Path) -> None:
    """A network that draws the truth where the crop says it is scores AP 1 through all steps."""
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(0)
    points = np.concatenate((rng.uniform((60, 40), (180, 200), (17, 2)), np.full((17, 1), 2)), 1)
    content = coco_content([(5, [50.0, 30.0, 140.0, 180.0])])
    content["images"][0].update(width=260, height=240)
    content["annotations"][0].update(keypoints=points.reshape(-1).tolist(), area=10000.0)
    write_picture(tmp_path / "5.png", size=(240, 260))
    people = CocoPeople(write_json(tmp_path, content), tmp_path)
    # Centre (120, 120); 180 x 3/4 = 135 < 140, so the width counts: 175 px on 48.
    places = (points[:, :2] - (120, 120)) * 48 / 175 + (24, 32)

    def network(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        ys, xs = np.mgrid[:64, :48]
        squared = (xs[..., None] - places[:, 0]) ** 2 + (ys[..., None] - places[:, 1]) ** 2
        return np.exp(-squared / 8)[None].repeat(len(crops), 0).astype(np.float32)

    found = evaluation.evaluate(people, network, InputSpec(channel_order="rgb"))
    assert set(found) == set(evaluation.DECODES)
    assert [value["AP"] for value in found.values()] == pytest.approx([1.0] * 4)


def test_decodes_by_name() -> None:
    found = evaluation.decodes_of(flip_shift=0)
    assert found == {
        "argmax": DecodeSpec(kind="argmax", beta=None, quarter_step=False, flip_shift=0),
        "argmax-quarter": DecodeSpec(kind="argmax", beta=None, flip_shift=0),
        "beta": DecodeSpec(quarter_step=False, flip_shift=0),
        "beta-quarter": DecodeSpec(flip_shift=0),
    }
    several = evaluation.decodes_of(["beta-quarter", "argmax"], betas=(1, 0.5))
    assert list(several) == ["beta 1-quarter", "beta 0.5-quarter", "argmax"]
    assert several["beta 0.5-quarter"] == DecodeSpec(beta=0.5)
    with pytest.raises(ValueError, match="decode is 'gamma'"):
        evaluation.decodes_of(["gamma"])
    with pytest.raises(ValueError, match="beta is 0"):
        evaluation.decodes_of(betas=(0.0,))
