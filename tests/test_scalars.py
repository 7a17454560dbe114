"""Plain arguments of another type: errors that name the argument, and NumPy's numbers welcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import lpn_core
import numpy as np
import pytest
from lpn_core import COCO17, Model, PoseEstimator, Poses, flip, ops, preprocess

IMAGE = np.zeros((40, 30, 3), np.uint8)
MAPS = np.zeros((1, 2, 8, 6), np.float32)
X = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
W = np.ones((2, 3, 1, 1), np.float32)
BOXES = np.array([[0.0, 0.0, 20.0, 30.0]])

Call = Callable[[Any], object]


def _soft_argmax(**options: Any) -> Call:
    return lambda _: lpn_core.soft_argmax(MAPS, layout="nchw", **options)


def _conv2d(**options: Any) -> Call:
    return lambda _: ops.conv2d(X, W, **options)


CASES: dict[str, tuple[Call, type[Exception], str]] = {
    "beta None": (_soft_argmax(beta=None), TypeError, "beta is None; wanted a number"),
    "beta text": (_soft_argmax(beta="1"), TypeError, "beta is '1'; wanted a number"),
    "beta True": (_soft_argmax(beta=True), TypeError, "beta is True; wanted a number"),
    "step text": (_soft_argmax(quarter_step="no"), TypeError, "quarter_step is 'no'; wanted True"),
    "isa number": (_soft_argmax(isa=3), TypeError, "isa is 3; wanted a string"),
    "stride pair": (_conv2d(stride=(1, 1)), TypeError, r"stride is \(1, 1\); wanted an integer"),
    "stride half": (_conv2d(stride=1.5), TypeError, "stride is 1.5; wanted an integer"),
    "stride True": (_conv2d(stride=True), TypeError, "stride is True; wanted an integer"),
    "stride array": (_conv2d(stride=np.ones(1, int)), TypeError, "stride is .*wanted an integer"),
    "stride huge": (_conv2d(stride=10**12), ValueError, "stride is 1000000000000; .*32 bits"),
    "padding text": (_conv2d(padding="same"), TypeError, "padding is 'same'; wanted an integer"),
    "activation": (_conv2d(activation=None), TypeError, "activation is None; wanted a string"),
    "long value": (_conv2d(stride=list(range(99))), TypeError, "stride is of type list; wanted"),
    "flip text": (
        lambda pose: pose(IMAGE, BOXES, order="rgb", flip="no"),
        TypeError,
        "flip is 'no'; wanted True or False",
    ),
    "threads huge": (
        lambda pose: Model(pose.model.file, threads=10**12),
        ValueError,
        "threads is 1000000000000; wanted an integer of at most 32 bits",
    ),
    "model isa": (
        lambda pose: Model(pose.model.file, isa=2),  # type: ignore[arg-type]
        TypeError,
        "isa is 2; wanted a string",
    ),
    "regions of a list": (
        lambda pose: preprocess.regions(BOXES.tolist(), pose.model.input),
        TypeError,
        "boxes is list; wanted a NumPy array",
    ),
    "crop of a path": (
        lambda pose: preprocess.crop(
            "a.jpg", "rgb", preprocess.regions(BOXES, pose.model.input), pose.model.input
        ),
        TypeError,
        "image is str; wanted a NumPy array",
    ),
    **{
        f"crop in order {order!r}": (
            lambda pose, order=order: preprocess.crop(  # type: ignore[misc]
                IMAGE, order, preprocess.regions(BOXES, pose.model.input), pose.model.input
            ),
            TypeError if order is None else ValueError,
            f"order is {order!r}; wanted 'rgb' or 'bgr'",
        )
        for order in ("RGB", "", None)
    },
    "one crop mirrored": (
        lambda _: flip.mirror_crops(np.zeros((8, 6, 3), np.float32)),
        ValueError,
        r"3 axes \(8, 6, 3\); wanted 4: \(N, H, W, C\); crops\[None\]",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_error_names_the_argument(name: str, estimator: PoseEstimator) -> None:
    call, kind, words = CASES[name]
    with pytest.raises(kind, match=words):
        call(estimator)


def test_numpys_numbers_are_numbers(estimator: PoseEstimator) -> None:
    plain = lpn_core.soft_argmax(MAPS, layout="nchw", beta=80.0, quarter_step=True)
    numpys = lpn_core.soft_argmax(
        MAPS, layout="nchw", beta=np.float32(80), quarter_step=np.bool_(True)
    )
    np.testing.assert_array_equal(plain[0], numpys[0])
    np.testing.assert_array_equal(ops.conv2d(X, W, stride=np.int64(2)), ops.conv2d(X, W, stride=2))
    assert Model(estimator.model.file, threads=np.int64(1)).threads == 1  # type: ignore[arg-type]


def test_poses_take_numpys_integers() -> None:
    people = Poses(
        np.zeros((2, 17, 2), np.float32),
        np.full((2, 17), 0.5, np.float32),
        np.array([[0.0, 0.0, 5.0, 5.0], [1.0, 1.0, 5.0, 5.0]]),
        np.array([0.25, 0.75]),
        COCO17,
    )
    assert people[np.argmax(people.box_scores)].box_score == 0.75
    assert repr(people[1]) == "<Pose of score 0.375, coco17>"
    entries = json.loads(json.dumps(people.to_coco(np.int64(3), np.int32(1))))
    assert [(entry["image_id"], entry["category_id"]) for entry in entries] == [(3, 1)] * 2
    (entry, _) = people.to_coco(np.float64(4), "person")
    assert [type(entry["image_id"]), entry["image_id"], entry["category_id"]] == [int, 4, "person"]


@pytest.mark.parametrize(
    "wrong", [None, True, float("nan"), 1.5, float("inf"), [7], b"7"], ids=repr
)
def test_ids_that_are_none(wrong: Any) -> None:
    nobody = Poses(
        np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros((0, 4)),
        np.zeros(0), COCO17,
    )  # fmt: skip
    with pytest.raises(TypeError, match=r"image_id is .*; wanted a whole number or text"):
        nobody.to_coco(wrong)
    with pytest.raises(TypeError, match=r"category_id is .*; wanted a whole number or text"):
        nobody.to_coco(7, wrong)


def test_model_file_shows_itself_in_a_line(estimator: PoseEstimator) -> None:
    text = repr(estimator.model.file)
    assert text.startswith("<ModelFile 'tiny': 64 x 48, coco17, ")
    assert lpn_core.ModelFileError.__module__ == "lpn_core"
