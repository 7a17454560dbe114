"""What callers get wrong: each case with its exception and the words that help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core import Model, PoseEstimator, ops
from lpn_core.convert import make_model_file
from lpn_core.model_file import DecodeSpec, InputSpec, ModelFile, ModelFileError

IMAGE = np.zeros((40, 30, 3), np.uint8)
BOX = [[0, 0, 20, 30]]
MAPS = np.zeros((1, 2, 8, 6), np.float32)
X = np.zeros((1, 4, 4, 3), np.float32)

Call = Callable[[PoseEstimator], object]
Case = tuple[Call, type[Exception], str]


def _pose(image: object = IMAGE, boxes: object = None, **options: Any) -> Call:
    options.setdefault("order", "rgb")
    if boxes is None and not options.get("whole_image"):
        boxes = BOX
    return lambda pose: pose(image, boxes, **options)


def _boxes(boxes: object, **options: Any) -> Call:
    return _pose(boxes=boxes, **options)


def _model(crops: object) -> Call:
    return lambda pose: pose.model(crops)


INF, NAN = float("inf"), float("nan")

CASES: dict[str, Case] = {
    # Boxes.
    "neither boxes nor whole image": (
        lambda pose: pose(IMAGE, order="rgb"),
        ValueError,
        r"no boxes: pass boxes=\[\[x, y, w, h\], ...\].* or whole_image=True",
    ),
    "both": (_pose(boxes=BOX, whole_image=True), ValueError, "both boxes and whole_image=True"),
    "one flat box": (_boxes([1, 2, 3, 4]), ValueError, r"shape \(4,\).*one box is \[\[x, y, w, h"),
    "three numbers": (_boxes([[1, 2, 3]]), ValueError, r"shape \(1, 3\); wanted \(N, 4\), or"),
    "three axes": (_boxes([[[1, 2, 3, 4]]]), ValueError, r"shape \(1, 1, 4\); wanted"),
    "ragged": (_boxes([[1, 2, 3, 4], [1, 2]]), ValueError, "rows of different lengths"),
    "text": (_boxes([["a", "b", "c", "d"]]), TypeError, "boxes are <U1; wanted numbers"),
    "an object": (_boxes(object()), TypeError, "boxes are object; wanted numbers"),
    "bools": (_boxes([[True, True, True, True]]), TypeError, "boxes are bool; wanted numbers"),
    "NaN": (_boxes([BOX[0], [NAN, 0, 5, 5]]), ValueError, r"boxes\[1\] is \[nan.*wanted finite"),
    "infinite": (_boxes([[0, 0, INF, 5]]), ValueError, r"boxes\[0\] is .*inf.*wanted finite"),
    "astronomic": (_boxes([[1e30, 0, 5, 5]]), ValueError, r"boxes\[0\].*wanted finite .* 1e\+09"),
    "NaN score": (_boxes([[0, 0, 5, 5, NAN]]), ValueError, r"boxes\[0\].*wanted finite"),
    "negative score": (
        _boxes([[*BOX[0], 0], [0, 0, 5, 5, -0.1]]),
        ValueError,
        r"boxes\[1\] is .*-0\.1\].*wanted a score, the fifth number, of 0 or more",
    ),
    "zero width": (_boxes([BOX[0], [1, 1, 0, 5]]), ValueError, r"boxes\[1\].*positive width"),
    "zero height": (_boxes([[1, 1, 5, 0]]), ValueError, r"boxes\[0\].*positive width and height"),
    "negative": (_boxes([[1, 1, -5, 5]]), ValueError, r"boxes\[0\].*\(xywh\); wanted a positive"),
    "reversed corners": (
        _boxes([[10, 10, 5, 20]], box_format="xyxy"),
        ValueError,
        r"boxes\[0\].*\(xyxy\); wanted a positive width",
    ),
    "box format": (_pose(box_format="cxcywh"), ValueError, "'cxcywh'; wanted 'xywh' or 'xyxy'"),
    # Images.
    "no order": (_pose(order=None), ValueError, 'order="rgb", or order="bgr".*OpenCV'),
    "unknown order": (_pose(order="grb"), ValueError, "order is 'grb'; wanted 'rgb' or 'bgr'"),
    "order of a path": (_pose("photo.jpg"), ValueError, "order='rgb' is for arrays; a path"),
    "no such file": (_pose("absent.jpg", order=None), FileNotFoundError, "absent.jpg"),
    "bytes": (_pose(b"\xff\xd8", order=None), TypeError, "image is bytes; wanted a path"),
    "a list": (_pose([[1, 2, 3]]), TypeError, "image is list; wanted a path.*one image at a time"),
    "None": (_pose(None), TypeError, "image is NoneType; wanted"),
    "grey array": (_pose(IMAGE[..., 0]), ValueError, r"shape \(40, 30\).*np.stack\(\[image\] \* 3"),
    "RGBA array": (
        _pose(np.zeros((40, 30, 4), np.uint8)),
        ValueError,
        r"shape \(40, 30, 4\).*alpha.*image\[..., :3\]",
    ),
    "channels first": (
        _pose(np.zeros((3, 40, 30), np.uint8)),
        ValueError,
        r"\(3, 40, 30\); wanted \(H, W, 3\).*transpose\(1, 2, 0\)",
    ),
    "a batch": (_pose(IMAGE[None]), ValueError, r"\(1, 40, 30, 3\).*one image at a time"),
    "no pixels": (_pose(IMAGE[:0]), ValueError, r"\(0, 30, 3\); wanted at least one pixel"),
    "float image": (
        _pose(IMAGE.astype(np.float32)),
        TypeError,
        "image is float32; wanted uint8.*range",
    ),
    "16-bit image": (_pose(IMAGE.astype(np.uint16)), TypeError, "image is uint16; wanted uint8"),
    # Crops.
    "crops of float64": (
        _model(np.zeros((1, 64, 48, 3))),
        TypeError,
        "crops are float64; wanted uint8, 0 to 255 in RGB order, or float32, already normalised",
    ),
    "crops of int32": (_model(np.zeros((1, 64, 48, 3), np.int32)), TypeError, "crops are int32"),
    "one crop": (
        _model(np.zeros((64, 48, 3), np.uint8)),
        ValueError,
        r"3 axes \(64, 48, 3\); wanted 4: \(N, H, W, 3\); crops\[None\]",
    ),
    "crops channels first": (
        _model(np.zeros((1, 3, 64, 48), np.float32)),
        ValueError,
        r"\(1, 3, 64, 48\); wanted \(N, H, W, 3\); from \(N, 3, H, W\): np.ascontiguousarray\("
        r"crops.transpose\(0, 2, 3, 1\)\)",
    ),
    "crops that are not contiguous": (
        _model(np.zeros((1, 64, 96, 3), np.uint8)[:, :, ::2]),
        ValueError,
        "crops .* is not C-contiguous .*np.ascontiguousarray",
    ),
    "crops of an odd size": (
        _model(np.zeros((1, 66, 48, 3), np.uint8)),
        ValueError,
        r"66 x 48 .H x W.*multiples of 16.*64 x 48",
    ),
    "crops of no height": (_model(np.zeros((1, 0, 48, 3), np.uint8)), ValueError, "height 0"),
    "crops as a list": (_model([[1]]), TypeError, "crops is list; wanted a NumPy array"),
    # Options.
    "no threads": (
        lambda pose: Model(pose.model.file, threads=0),
        ValueError,
        "threads is 0; wanted at least 1",
    ),
    "half a thread": (
        lambda pose: Model(pose.model.file, threads=0.5),  # type: ignore[arg-type]
        TypeError,
        "threads is 0.5; wanted an integer",
    ),
    "unknown isa": (
        lambda pose: Model(pose.model.file, isa="sse9"),
        ValueError,
        "sse9.*known; give one of",
    ),
    "unknown precision": (
        lambda pose: Model(pose.model.file, precision="int4"),
        ValueError,
        "precision is 'int4'; wanted 'fp32'",
    ),
    "no such model": (
        lambda _: lpn_core.load("lpn5000"),
        FileNotFoundError,
        "'lpn5000': neither a file nor one of the bundled models",
    ),
    "model of another type": (
        lambda _: lpn_core.load(7),  # type: ignore[arg-type]
        TypeError,
        "model is int; wanted a bundled name or a path",
    ),
    # Decoding.
    "no layout": (
        lambda _: lpn_core.soft_argmax(MAPS),  # type: ignore[call-arg]
        TypeError,
        "layout",
    ),
    "unknown layout": (
        lambda _: lpn_core.soft_argmax(MAPS, layout="hwc"),
        ValueError,
        "layout is 'hwc'; wanted 'nchw' for",
    ),
    "heatmaps of float64": (
        lambda _: lpn_core.soft_argmax(MAPS.astype(float), layout="nchw"),
        TypeError,
        r"heatmaps is float64; wanted float32, which heatmaps.astype\(np.float32\) gives",
    ),
    "heatmaps of float16": (
        lambda _: lpn_core.argmax(MAPS.astype(np.float16), layout="nchw"),
        TypeError,
        "heatmaps is float16; wanted float32",
    ),
    "heatmaps of one person": (
        lambda _: lpn_core.soft_argmax(MAPS[0], layout="nchw"),
        ValueError,
        r"3 axes .*wanted 4: \(N, K, H, W\); heatmaps\[None\]",
    ),
    "heatmaps misaligned": (
        lambda _: lpn_core.soft_argmax(
            np.frombuffer(bytes(4 * 48 + 1), np.float32, offset=1).reshape(1, 1, 8, 6),
            layout="nchw",
        ),
        ValueError,
        r"heatmaps of shape \(1, 1, 8, 6\) begins at .* no multiple of 4 .*heatmaps\.copy\(\)",
    ),
    "heatmaps transposed": (
        lambda _: lpn_core.soft_argmax(MAPS.transpose(0, 1, 3, 2), layout="nhwc"),
        ValueError,
        "not C-contiguous",
    ),
    "beta of 0": (
        lambda _: lpn_core.soft_argmax(MAPS, layout="nchw", beta=0.0),
        ValueError,
        "beta is 0; it must be finite and greater than 0",
    ),
    "beta of NaN": (
        lambda _: lpn_core.soft_argmax(MAPS, layout="nchw", beta=NAN),
        ValueError,
        "beta is nan; it must be finite",
    ),
    # Kernels.
    "kernel input of float64": (
        lambda _: ops.conv2d(X.astype(float), np.zeros((1, 3, 1, 1), np.float32)),
        TypeError,
        "x is float64; wanted float32",
    ),
    "kernel weights of other channels": (
        lambda _: ops.conv2d(X, np.zeros((2, 4, 3, 3), np.float32)),
        ValueError,
        r"w has shape \(2, 4, 3, 3\); it must be \(2, 3, 3, 3\)",
    ),
    "kernel larger than its input": (
        lambda _: ops.conv2d(X, np.zeros((2, 3, 5, 5), np.float32)),
        ValueError,
        "x of size 4 .* smaller than the kernel, 5",
    ),
    "kernel stride of 0": (
        lambda _: ops.max_pool2d(X, 2, 0),
        ValueError,
        "stride is 0; it must be",
    ),
    "kernel activation": (
        lambda _: ops.conv2d(X, np.zeros((2, 3, 1, 1), np.float32), activation="gelu"),
        ValueError,
        'activation is "gelu"; it must be one of',
    ),
    "kernel isa": (
        lambda _: ops.channel_mean(X, isa="sse9"),
        ValueError,
        "sse9.*known; give one of",
    ),
    "crop matrices of float32": (
        lambda _: ops.crop_affine(IMAGE, np.zeros((1, 2, 3), np.float32), 8, 8),
        TypeError,
        "matrices is float32; wanted float64",
    ),
    # Making models.
    "unknown architecture": (
        lambda _: make_model_file("x", "lpn18", {}, channel_order="rgb"),
        ValueError,
        "unknown architecture 'lpn18'; known: lpn50",
    ),
    "state dict of another depth": (
        lambda _: make_model_file("x", "lpn101", lpn_state_dict(50, "se"), channel_order="rgb"),
        ValueError,
        r"not a state dict of lpn101 .*missing: layer3\.6\.",
    ),
    "channel orders that differ": (
        lambda _: make_model_file(
            "x", "lpn50", {}, channel_order="rgb", input=InputSpec(channel_order="bgr")
        ),
        ValueError,
        "channel_order is 'rgb', but input says 'bgr'",
    ),
    "joints that differ": (
        lambda _: make_model_file(
            "x", "lpn50", lpn_state_dict(50, "none", 16), channel_order="rgb"
        ),
        ModelFileError,
        "makes 16 heatmaps, but its keypoint set 'coco17' has 17",
    ),
    "flip shift as wide as the heatmaps": (
        lambda _: make_model_file(
            "x",
            "lpn50",
            lpn_state_dict(50, "none"),
            channel_order="rgb",
            decode=DecodeSpec(flip_shift=48),
        ),
        ValueError,
        "flip_shift is 48; wanted less than the heatmaps' width, 48 for an input 192 wide",
    ),
    "argmax with beta": (
        lambda _: DecodeSpec(kind="argmax"),
        ValueError,
        r"beta is 160.0; wanted null .None. for argmax",
    ),
    "unknown channel order": (
        lambda _: InputSpec(channel_order="RGB"),
        ValueError,
        "channel_order is 'RGB'; wanted 'rgb' or 'bgr'",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_call(name: str, estimator: PoseEstimator) -> None:
    call, kind, words = CASES[name]
    with pytest.raises(kind, match=words) as caught:
        call(estimator)
    assert caught.type is kind or issubclass(kind, OSError)
    # The estimator has taken no harm.
    assert len(estimator(IMAGE, BOX, order="rgb")) == 1


def test_graph_that_does_not_fit_names_its_node(tiny: ModelFile) -> None:
    weights = {**tiny.weights, "head.weight": np.zeros((17, 5, 4, 4), np.float32)}
    with pytest.raises(ValueError, match="head"):
        Model(replace(tiny, weights=weights))


def test_failed_outputs_leave_no_file(estimator: PoseEstimator, tmp_path: Path) -> None:
    people = estimator(IMAGE, BOX, order="rgb")
    with pytest.raises(FileNotFoundError, match="absent"):
        people.to_csv(tmp_path / "absent" / "poses.csv")
    blocked = tmp_path / "folder"
    blocked.mkdir()
    with pytest.raises(OSError, match="folder"):
        people.to_csv(blocked)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert list(blocked.iterdir()) == []
