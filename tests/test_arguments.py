"""Every plain argument of the public functions, given what it is not: errors that name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from coco_files import write_dataset, write_json
from lpn_core import COCO17, Model, PoseEstimator, Poses, evaluation, flip, keypoints, ops
from lpn_core import preprocess as pre

NAN, INF = float("nan"), float("inf")
IMAGE = np.zeros((40, 30, 3), np.uint8)
BOX = np.array([[0.0, 0.0, 20.0, 30.0]])
X, MAPS = np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 2, 8, 6), np.float32)
FLAT, HEATMAPS = np.zeros((1, 3), np.float32), np.zeros((1, 8, 6, 17), np.float32)
W1, ONES, W3 = (
    np.ones((2, 3, 1, 1), np.float32),
    np.ones(3, np.float32),
    np.ones((3, 3), np.float32),
)
W_EACH = np.ones((3, 1, 1, 1), np.float32)
MATRICES = np.zeros((1, 2, 3))
NOBODY = Poses(
    np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros((0, 4)), np.zeros(0),
    COCO17, (30, 40),
)  # fmt: skip

# What each kind of argument is not.
COMMON = ([1], (1, 2), np.array([1, 2]), {}, object(), 1j, b"1")
WRONG: dict[str, tuple[object, ...]] = {
    "integer": (*COMMON, "1", 1.5, NAN, INF, True, np.True_, 1 << 31, 10**12, -(10**400)),
    "long": (*COMMON, "1", 1.5, NAN, INF, True, 1 << 63, -(10**400)),
    "number": (*COMMON, "1", True, 10**400),
    "float32": (*COMMON, "1", True, 10**400, 1e39, -1e300, 1e-50),
    "flag": (*COMMON, "no", 0, 1, 1.0, NAN, None),
    "text": (*COMMON, 1, 1.5, NAN, True, 10**400),
    "three": ("abc", 1, None, {}, object(), [1, 2], (1,) * 4, ["a"] * 3, [None] * 3, [True] * 3,
              [10**400] * 3, np.ones((3, 2))),
    "path": (1, 1.5, True, b"a", ["a"], object(), 10**400),
    "id": (*COMMON, None, True, 1.5, NAN, INF),
}  # fmt: skip
NOT_NONE = ("integer", "number", "float32", "text")

Call = Callable[..., object]


def _decode(function: Call) -> Call:
    return lambda _, **given: function(MAPS, **{"layout": "nchw", **given})


def _op(function: Call, *arrays: object, **others: object) -> Call:
    return lambda _, **given: function(*arrays, **{**others, **given})


def _pose(pose: PoseEstimator, **given: Any) -> object:
    options = {"order": "rgb", **given}
    return pose(IMAGE, None if "whole_image" in given else BOX, **options)


def _find(pose: PoseEstimator, **given: Any) -> object:
    model = pose.model
    decodes = {"own": model.decode}
    return evaluation.find_poses([], model, model.input, COCO17, decodes=decodes, **given)


def _crop(pose: PoseEstimator, order: Any = "rgb", **given: Any) -> object:
    where = pre.regions(BOX, pose.model.input)
    return pre.crop(IMAGE, order, where, pose.model.input, **given)


# Each argument: who takes it, its kind, and whether it may be None.
CASES: dict[str, tuple[Call, dict[str, str]]] = {
    "load": (lambda _, **given: lpn_core.load(**given),
             {"model": "path", "threads": "integer?", "isa": "text?", "precision": "text",
              "memory_limit": "long?"}),
    "Model": (lambda pose, **given: Model(pose.model.file, **given),
              {"threads": "integer?", "isa": "text?", "precision": "text",
               "memory_limit": "long?"}),
    "Model.heatmap_shape": (
        lambda pose, **given: pose.model.heatmap_shape(**{"height": 64, "width": 48, **given}),
        {"height": "integer", "width": "integer"}),
    "Model.profile": (lambda pose, **given: pose.model.profile(**{"rounds": 1, **given}),
                      {"rounds": "integer"}),
    "estimator": (_pose, {"whole_image": "flag", "box_format": "text", "flip": "flag",
                          "order": "text?", "exif": "flag"}),
    "Poses.to_coco": (lambda _, **given: NOBODY.to_coco(**{"image_id": 1, **given}),
                      {"image_id": "id", "category_id": "id"}),
    "Poses.to_csv": (lambda _, **given: NOBODY.to_csv(**given), {"path": "path?"}),
    "Poses.draw": (lambda _, **given: NOBODY.draw(IMAGE, **{"order": "rgb", **given}),
                   {"threshold": "number", "order": "text?", "exif": "flag"}),
    "soft_argmax": (_decode(lpn_core.soft_argmax),
                    {"layout": "text", "beta": "float32", "quarter_step": "flag", "isa": "text?"}),
    "argmax": (_decode(lpn_core.argmax),
               {"layout": "text", "quarter_step": "flag", "isa": "text?"}),
    "ops.conv2d": (_op(ops.conv2d, X, W1), {"stride": "integer", "padding": "integer",
                                            "activation": "text", "isa": "text?"}),
    "ops.pointwise_conv2d": (_op(ops.pointwise_conv2d, X, W3),
                             {"activation": "text", "isa": "text?"}),
    "ops.depthwise_conv2d": (_op(ops.depthwise_conv2d, X, W_EACH),
                             {"stride": "integer", "padding": "integer", "activation": "text",
                              "isa": "text?"}),
    "ops.group_deconv2d": (_op(ops.group_deconv2d, X, W3[..., None, None]),
                           {"stride": "integer", "padding": "integer", "groups": "integer",
                            "activation": "text", "isa": "text?"}),
    "ops.max_pool2d": (_op(ops.max_pool2d, X, kernel=2, stride=1),
                       {"kernel": "integer", "stride": "integer", "padding": "integer",
                        "isa": "text?"}),
    "ops.gc_pool": (_op(ops.gc_pool, X, ONES), {"isa": "text?"}),
    "ops.gc_transform": (_op(ops.gc_transform, FLAT, W3, ONES, ONES, ONES, W3, ONES),
                         {"epsilon": "float32", "isa": "text?"}),
    "ops.channel_mean": (_op(ops.channel_mean, X), {"isa": "text?"}),
    "ops.se_gate": (_op(ops.se_gate, FLAT, W3, W3), {"isa": "text?"}),
    "ops.crop_affine": (_op(ops.crop_affine, IMAGE, MATRICES, height=4, width=4),
                        {"height": "integer", "width": "integer", "threads": "integer",
                         "channel_map": "three", "scale": "three", "shift": "three",
                         "isa": "text?"}),
    "flip.unmirror_heatmaps": (_op(flip.unmirror_heatmaps, HEATMAPS, COCO17), {"shift": "integer"}),
    "flip.average_flipped": (_op(flip.average_flipped, HEATMAPS, HEATMAPS, COCO17),
                             {"shift": "integer"}),
    "keypoints.get": (lambda _, **given: keypoints.get(**{"name": "coco17", **given}),
                      {"name": "text"}),
    "preprocess.check_boxes": (_op(pre.check_boxes, BOX), {"box_format": "text"}),
    "preprocess.crop": (_crop, {"order": "text", "threads": "integer", "isa": "text?"}),
    "evaluation.decodes_of": (_op(evaluation.decodes_of, ["beta"]), {"flip_shift": "integer"}),
    "evaluation.find_poses": (_find, {"flip": "flag", "batch": "integer", "threads": "integer",
                                      "isa": "text?"}),
    "evaluation.oks_nms": (_op(evaluation.oks_nms, MATRICES[:0], ONES[:0], ONES[:0]),
                           {"threshold": "number"}),
    "evaluation.coco_results": (
        lambda _, **given: evaluation.coco_results(**{"image_id": 1, "poses": NOBODY, **given}),
        {"image_id": "id"}),
}  # fmt: skip
ARGUMENTS = [(name, argument) for name, (_, kinds) in CASES.items() for argument in kinds]


def _faults(
    call: Callable[[object], object], argument: str, values: tuple[object, ...]
) -> list[str]:
    """The values that are taken, or refused in words that do not begin with the argument's name."""
    found = []
    for value in values:
        shown = "10**400" if isinstance(value, int) and abs(value) > 10**99 else repr(value)
        try:
            call(value)
        except (TypeError, ValueError) as error:
            if not str(error).startswith((f"{argument} ", f"{argument}[", f"{argument}=")):
                found.append(f"{shown}: {type(error).__name__}: {error}")
        except Exception as error:
            found.append(f"{shown}: {type(error).__name__}: {error}")
        else:
            found.append(f"{shown} is taken")
    return found


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_wrong_argument(name: str, argument: str, estimator: PoseEstimator) -> None:
    call, kinds = CASES[name]
    call(estimator)
    kind = kinds[argument]
    values = WRONG[kind.rstrip("?")] + ((None,) if kind in NOT_NONE else ())
    faults = _faults(lambda value: call(estimator, **{argument: value}), argument, values)
    assert not faults, "\n".join(faults)


def test_wrong_arguments_of_data_sets(tmp_path: Path) -> None:
    coco = write_dataset(tmp_path)
    people = [{"image": "5.png", "center": [30, 30], "scale": 0.2, "joints": [[1, 1]] * 16,
               "joints_vis": [1] * 16, "head_box": [1, 1, 9, 9]}]  # fmt: skip
    mpii = write_json(tmp_path, people, "valid.json")
    faults: list[str] = []
    for data_set, given in ((evaluation.CocoPeople, coco), (evaluation.MpiiPeople, mpii)):
        kinds = {"annotations": "path", "images": "path", "limit": "integer"}
        kinds |= {"detections": "path", "clip": "flag"} if given == coco else {"head_boxes": "path"}
        right = {"annotations": str(given), "images": str(tmp_path)}
        assert len(data_set(**right)) > 0
        for argument, kind in kinds.items():
            values = WRONG[kind] + ((-1,) if argument == "limit" else ())
            faults += _faults(
                lambda value, argument=argument, right=right, data_set=data_set: data_set(
                    **{**right, argument: value}
                ),
                argument,
                values,
            )
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: PoseEstimator("lpn50"), "model is str; wanted a Model; lpn_core.load"),
        (lambda _: Model("lpn50"), "model_file is str; wanted a ModelFile, as model_file.read"),
        (lambda _: flip.unmirror_heatmaps(HEATMAPS, "coco17"),
         "keypoint_set is str; wanted a KeypointSet, such as lpn_core.COCO17"),
        (lambda _: evaluation.decodes_of("beta"), r"kinds is 'beta'; wanted several, as in"),
        (lambda _: evaluation.decodes_of(betas=160.0), r"betas is 160.0; wanted several, as in"),
        (lambda _: evaluation.decodes_of(betas=["160"]), "beta is '160'; wanted a number"),
    ],
)  # fmt: skip
def test_wrong_objects(call: Call, words: str, estimator: PoseEstimator) -> None:
    with pytest.raises(TypeError, match=words):
        call(estimator)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63), 1 << 64, 10**30, 10**400, -(10**400)])
def test_boxes_with_integers_of_more_than_64_bits(value: int) -> None:
    with pytest.raises(ValueError, match=r"boxes\[1\] is \[.*e\+.*wanted finite numbers within"):
        pre.check_boxes([[0, 0, 5, 5], [1, value, 5, 5]])
    with pytest.raises(TypeError, match=r"boxes are .*; wanted numbers"):
        pre.check_boxes([[0, value, "5", 5]])


def test_draw_refuses_no_number() -> None:
    with pytest.raises(ValueError, match="threshold is nan; wanted a number"):
        NOBODY.draw(IMAGE, order="rgb", threshold=NAN)
    with pytest.raises(ValueError, match="threshold is nan; wanted a number"):
        evaluation.oks_nms(MATRICES[:0], ONES[:0], ONES[:0], threshold=NAN)
