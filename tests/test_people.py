"""The estimator's one call into the engine gives the bits of the stages that it puts together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import HEIGHT, WIDTH, photograph, tiny_model_file
from lpn_core import COCO17, Model, PoseEstimator, _core, flip, preprocess
from lpn_core.image.decode import decode
from lpn_core.model_file import DecodeSpec, InputSpec
from numpy.typing import NDArray

PHOTO = photograph()
# Inside, across every edge, wide, tiny, and beyond the image.
BOXES = np.array(
    [[20, 10, 60, 80], [-30, -20, 70, 60], [90, 30, 90, 110], [5, 50, 150, 9], [300, 0, 20, 20]],
    np.float64,
)
DECODES = (
    DecodeSpec(),
    DecodeSpec(quarter_step=False, beta=40.0, flip_shift=0),
    DecodeSpec(kind="argmax", beta=None, flip_shift=3),
)


def _model(how: DecodeSpec = DECODES[0], threads: int = 1, isa: str | None = None) -> Model:
    spec = InputSpec(channel_order="bgr", height=HEIGHT, width=WIDTH)
    return Model(tiny_model_file(input=spec, decode=how), threads=threads, isa=isa)


def _by_stages(
    model: Model, boxes: NDArray[np.float64], flipped: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints in the image and scores, with an array between any two stages."""
    where = preprocess.regions(boxes, model.input)
    crops = preprocess.crop(PHOTO, "rgb", where, model.input, isa=model.isa)
    heatmaps = model(crops)
    if flipped:
        mirrored = model(flip.mirror_crops(crops))
        shift = model.decode.flip_shift
        heatmaps = flip.average_flipped(heatmaps, mirrored, COCO17, shift=shift)
    maps = np.ascontiguousarray(heatmaps.transpose(0, 3, 1, 2))
    joints, scores = decode(maps, model.decode, layout="nchw", isa=model.isa)
    return where.to_image(joints, *heatmaps.shape[1:3]).astype(np.float32), scores


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("threads", [1, 2, 3, 40])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("how", DECODES, ids=["soft", "beta40", "argmax"])
def test_same_bits_as_the_stages(how: DecodeSpec, flipped: bool, threads: int, isa: str) -> None:
    with _model(how, threads, isa) as model:
        for count in range(len(BOXES) + 1):
            people = PoseEstimator(model)(PHOTO, BOXES[:count], order="rgb", flip=flipped)
            joints, scores = _by_stages(model, BOXES[:count], flipped)
            assert people.keypoints.shape == (count, len(COCO17), 2)
            np.testing.assert_array_equal(people.keypoints, joints)
            np.testing.assert_array_equal(people.raw_scores, scores)


def test_a_crowd_is_run_in_parts() -> None:
    crowd = np.tile(BOXES, (14, 1))
    estimator = PoseEstimator(_model(threads=2))
    people = estimator(PHOTO, crowd, order="rgb", flip=True)
    few = estimator(PHOTO, BOXES, order="rgb", flip=True)
    np.testing.assert_array_equal(people.keypoints, np.tile(few.keypoints, (14, 1, 1)))
    np.testing.assert_array_equal(people.raw_scores, np.tile(few.raw_scores, (14, 1)))


def test_many_threads_share_an_estimator() -> None:
    estimator = PoseEstimator(_model(threads=2))
    cases = [(BOXES[:count], flipped) for count in range(1, 6) for flipped in (False, True)]
    wanted = [estimator(PHOTO, boxes, order="rgb", flip=how).keypoints for boxes, how in cases]

    def work(which: int) -> None:
        for turn in range(50):
            index = (which + turn) % len(cases)
            boxes, flipped = cases[index]
            found = estimator(PHOTO, boxes, order="rgb", flip=flipped).keypoints
            np.testing.assert_array_equal(found, wanted[index])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


@pytest.mark.parametrize(
    ("boxes", "padding"), [(BOXES, 1.25), (np.array([[0.1, 0.7, 3.3, 4.4 / 3 * 3]]), 1.1)]
)
def test_grown_boxes(boxes: NDArray[np.float64], padding: float) -> None:
    centers, sizes = _core.grow_boxes(boxes, 0.75, padding)
    np.testing.assert_array_equal(centers, boxes[:, :2] + boxes[:, 2:] / 2)
    width = np.maximum(boxes[:, 2], 0.75 * boxes[:, 3])
    np.testing.assert_allclose(sizes, np.stack([width, width / 0.75], 1) * padding, rtol=1e-15)


INDEX = COCO17.mirror_index


def _estimate(
    model: Model,
    image: NDArray[np.uint8] = PHOTO,
    boxes: NDArray[np.float64] = BOXES[:1],
    padding: float = 1.25,
    channels: Sequence[int] = (0, 1, 2),
    scale: float = 1.0,
    beta: float | None = 160.0,
    index: Sequence[int] | None = None,
    shift: int = 1,
) -> object:
    values = (channels, (scale,) * 3, (0.0,) * 3)
    size = (HEIGHT, WIDTH, padding)
    return _core.estimate_poses(
        model.compiled, image, boxes, *size, *values, beta, True, index, shift
    )


BAD: dict[str, tuple[Callable[[Model], object], str]] = {
    "grey": (lambda m: _estimate(m, PHOTO[..., 0]), r"image has shape \(120, 160\)"),
    "strides": (lambda m: _estimate(m, PHOTO[:, ::-1]), "pixels must be contiguous"),
    "NaN": (lambda m: _estimate(m, boxes=BOXES * np.nan), r"boxes\[0\] is \[nan, "),
    "far": (lambda m: _estimate(m, boxes=BOXES * 1e9), r"boxes\[0\] is .* within 2e\+09"),
    "no size": (lambda m: _estimate(m, boxes=BOXES * [1, 1, 0, 1]), "sizes above 0"),
    "three": (lambda m: _estimate(m, boxes=np.zeros((1, 3))), r"boxes have shape \(1, 3\)"),
    "padding": (lambda m: _estimate(m, padding=0.0), "padding is 0"),
    "NaN padding": (lambda m: _estimate(m, padding=np.nan), "padding is nan"),
    "channels": (lambda m: _estimate(m, channels=(0, 1, 3)), "channel_map holds 3"),
    "scale": (lambda m: _estimate(m, scale=np.inf), "channel 0 are inf and 0"),
    "beta": (lambda m: _estimate(m, beta=0.0), "beta is 0"),
    "joints": (lambda m: _estimate(m, index=[0]), "mirror_index has 1 joints"),
    "joint": (lambda m: _estimate(m, index=[17] * 17), "mirror_index holds 17"),
    "shift": (lambda m: _estimate(m, index=INDEX, shift=12), "shift is 12"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name: str) -> None:
    call, message = BAD[name]
    with _model() as model, pytest.raises(ValueError, match=re.compile(message)):
        call(model)
