"""lpn eval: what it prints and writes, and that it says what the library says."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from coco_files import write_dataset, write_json, write_picture
from helpers import tiny_model_file
from lpn_core import PoseEstimator, evaluation, model_file
from lpn_core.evaluation import CocoPeople, MpiiPeople

for _module in ("click", "tqdm", "PIL.Image", "pycocotools"):
    pytest.importorskip(_module)
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


@pytest.fixture
def usual(tmp_path: Path, tiny_path: Path) -> list[object]:
    """The arguments that every call needs."""
    annotations = write_dataset(tmp_path)
    return [tiny_path, "--annotations", annotations, "--images", tmp_path, "--threads", 1]


def _document(*arguments: object) -> dict[str, Any]:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_json_is_what_the_library_says(
    usual: list[object], tmp_path: Path, estimator: PoseEstimator
) -> None:
    document = _document(*usual, "--flip", "--batch", 2)
    people = CocoPeople(tmp_path / "person_keypoints_some.json", tmp_path)
    model = estimator.model
    expected = evaluation.evaluate(
        people, model, model.input, decodes={"model": model.decode}, flip=True
    )
    assert document == {
        "model": "tiny",
        "annotations": str(tmp_path / "person_keypoints_some.json"),
        "detections": None,
        "images": 2,
        "people": 3,
        "flip": True,
        "metrics": expected,
        "bootstrap": None,
    }
    assert list(document["metrics"]["model"]) == list(evaluation.METRICS)


def test_table(usual: list[object]) -> None:
    result = _run(*usual, "--decode", "argmax", "--decode", "model", "--limit", 1)
    assert result.exit_code == 0, result.output
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["decode", *evaluation.METRICS]
    assert [row.split()[0] for row in rows] == ["argmax", "model"]
    assert all(len(row) == len(header) for row in rows)
    assert "tiny: 2 people (boxes: ground-truth boxes) in 1 images" in result.stderr


def test_intervals(usual: list[object], tmp_path: Path, estimator: PoseEstimator) -> None:
    options = ("--decode", "model", "--decode", "argmax", "--bootstrap", 50)
    document = _document(*usual, *options, "--seed", 3)
    bootstrap = document["bootstrap"]
    assert (bootstrap["resamples"], bootstrap["seed"], bootstrap["level"]) == (50, 3, 0.95)
    people = CocoPeople(tmp_path / "person_keypoints_some.json", tmp_path)
    model = estimator.model
    poses = [estimator(image.path, image.boxes, exif=False) for image in people.images]
    expected = evaluation.intervals(people, poses, model.input, resamples=50, seed=3)
    assert bootstrap["intervals"]["model"] == {key: list(ends) for key, ends in expected.items()}
    assert list(bootstrap["intervals"]) == ["model", "argmax"]
    result = _run(*usual, *options)
    assert result.exit_code == 0, result.output
    rows = ["model", "model, low", "model, high", "argmax", "argmax, low", "argmax, high"]
    starts = [line.split("  ")[0] for line in result.stdout.splitlines()[1:]]
    assert starts == rows
    assert "95% interval; resamples of the images: 50, seed: 0" in result.stderr


def test_ablation_of_beta(usual: list[object]) -> None:
    found = _document(*usual, "--beta", "40,160")["metrics"]
    assert list(found) == [
        "argmax",
        "argmax-quarter",
        "beta 40",
        "beta 160",
        "beta 40-quarter",
        "beta 160-quarter",
    ]
    assert list(_document(*usual, "--beta", "1", "--decode", "beta")["metrics"]) == ["beta"]
    for bad in ("", "0", "40,x", "nan"):
        result = _run(*usual, "--beta", bad)
        assert result.exit_code == 2
        assert "wanted positive numbers" in result.output


def test_results_file_scores_the_same(
    usual: list[object], tmp_path: Path, estimator: PoseEstimator
) -> None:
    box = [10.0, 10.0, 30.0, 40.0]
    detections = [
        {"image_id": image_id, "category_id": 1, "bbox": box, "score": score}
        for image_id, score in ((5, 0.5), (5, 0.75), (6, 0.25))
    ]
    file = write_json(tmp_path, detections, "detections.json")
    results = tmp_path / "results.json"
    document = _document(*usual, "--detections", file, "--results", results)
    assert (document["images"], document["people"]) == (3, 3)
    assert document["detections"] == str(file)
    records = json.loads(results.read_text())
    # The same box twice: the pose of the lower score goes.
    assert [record["image_id"] for record in records] == [5, 6]
    (expected,) = estimator(tmp_path / "5.png", [[*box, 0.75]]).to_coco(5)
    assert records[0] == {key: value for key, value in expected.items() if key != "bbox"}
    content = json.loads((tmp_path / "person_keypoints_some.json").read_text())
    assert evaluation.average_precision(content, records) == document["metrics"]["model"]
    _document(*usual, "--detections", file, "--results", results, "--no-nms")
    assert len(json.loads(results.read_text())) == 3
    several = _run(*usual, "--results", results, "--beta", "40,160")
    assert several.exit_code == 2
    assert "--results holds the poses of one decode, but there are 6" in several.output


def test_official_without_its_suppression_is_refused(usual: list[object]) -> None:
    result = _run(*usual, "--official", "--no-nms")
    assert result.exit_code == 2
    assert "--official asks for the OKS-NMS that --no-nms forbids" in result.output


@pytest.mark.parametrize("kinds", [["argmax"], ["model"], ["argmax", "argmax-quarter"]])
def test_a_beta_that_nothing_takes_is_refused(kinds: list[str], usual: list[object]) -> None:
    result = _run(*usual, "--beta", 40, *(f"--decode={kind}" for kind in kinds))
    assert result.exit_code == 2
    assert f"--beta is for the beta decodes, but --decode names {' and '.join(kinds)} only" in (
        " ".join(result.stderr.split())
    )
    assert _run(*usual, "--beta", 40, "--decode", "argmax", "--decode", "beta").exit_code == 0


def test_a_place_for_the_results_is_wanted_first(
    usual: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("lpn_core.cli.evaluate.find_poses")
    folder = tmp_path / "absent"
    result = _run(*usual, "--results", folder / "r.json")
    assert result.exit_code == 2
    assert f"there is no folder {folder}" in " ".join(result.stderr.split())


def test_damaged_annotations_are_usage_errors(usual: list[object], tmp_path: Path) -> None:
    file = tmp_path / "person_keypoints_some.json"
    content = json.loads(file.read_text())
    content["annotations"][1]["area"] = None
    write_json(tmp_path, content)
    result = _run(*usual)
    assert result.exit_code == 2
    assert "annotations[1] (id 2): area is None; wanted a number" in result.stderr


def test_official_clips_and_suppresses(usual: list[object], tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    _document(*usual, "--results", results)
    plain = json.loads(results.read_text())
    _document(*usual, "--results", results, "--official")
    official = json.loads(results.read_text())
    assert len(plain) == 3
    assert official != plain
    assert {record["image_id"] for record in official} == {5, 7}


def test_flip_shift(usual: list[object]) -> None:
    for shift, code in ((0, 0), (11, 0), (12, 2)):
        result = _run(*usual, "--flip", "--flip-shift", shift)
        assert result.exit_code == code, result.output
    assert "--flip-shift is 12; wanted less than the heatmaps' width, 12" in result.output


def test_mpii_model(tmp_path: Path) -> None:
    model = tmp_path / "tiny16.safetensors"
    model_file.write(model, tiny_model_file("mpii16"))
    write_picture(tmp_path / "a.png")
    entry = {
        "image": "a.png", "center": [40.0, 30.0], "scale": 0.3,
        "joints": np.random.default_rng(0).uniform(10, 70, (16, 2)).tolist(),
        "joints_vis": [1] * 16, "head_box": [10, 10, 110, 210],
    }  # fmt: skip
    file = write_json(tmp_path, [entry], "valid.json")
    usual = (model, "--annotations", file, "--images", tmp_path)
    document = _document(*usual, "--flip")
    with lpn_core.load(model, threads=1) as estimator:
        people = MpiiPeople(file, tmp_path)
        poses = [estimator(image.path, image.boxes, flip=True) for image in people.images]
        expected = people.metrics(poses, estimator.model.input)
    assert document["metrics"]["model"] == expected
    assert expected["PCKh"] > 0
    assert document["bias"] == 0
    biased = MpiiPeople(file, tmp_path, bias=1.0).metrics(poses, estimator.model.input)
    assert biased != expected
    given = _document(*usual, "--flip", "--bias", 1)
    assert (given["bias"], given["metrics"]["model"]) == (1, biased)
    origin = model_file.Provenance(architecture="lpn50")
    model_file.write(model, replace(tiny_model_file("mpii16"), provenance=origin))
    published = _document(*usual, "--flip")
    assert (published["bias"], published["metrics"]["model"]) == (1, biased)
    result = _run(*usual)
    assert result.stderr.endswith("1 people (boxes: ground-truth boxes) in 1 images, bias 1 px\n")
    result = _run(*usual, "--bias", "nan")
    assert result.exit_code == 2
    assert "bias is nan; wanted a number of pixels" in result.stderr
    result = _run(*usual, "--results", tmp_path / "r.json")
    assert result.exit_code == 2
    assert "--results is in COCO's form" in result.output
    result = _run(*usual, "--detections", file)
    assert result.exit_code == 2
    assert "detections are for COCO's joints" in result.output


def test_wrong_usage(usual: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7.png").unlink()
    result = _run(*usual)
    assert result.exit_code == 2
    assert "no image '7.png'" in result.output
    (tmp_path / "7.png").write_bytes(b"broken")
    result = _run(*usual)
    assert result.exit_code == 1
    assert "7.png: not an image" in result.output
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    result = _run(*usual)
    assert result.exit_code == 2
    assert 'pip install "lpn-core[eval]"' in result.output
