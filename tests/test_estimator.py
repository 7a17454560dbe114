"""Image and boxes to poses, against a float64 pipeline of the same one-layer network."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import lpn_core
import numpy as np
import pytest
import reference
from helpers import HEIGHT, WIDTH, tiny_heatmaps, tiny_model_file
from lpn_core import COCO17, Model, PoseEstimator
from lpn_core.model_file import DecodeSpec, InputSpec, ModelFile
from numpy.typing import NDArray

BOXES = [[20.0, 10, 60, 80, 0.9], [-30, 20, 70, 60, 0.4], [90, 30, 90, 110, 1.0]]


def _reference_poses(
    file: ModelFile, rgb: NDArray[np.uint8], flip: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Keypoints and scores in float64, and which of them do not hang on the last bit."""
    spec, decode = file.input, file.decode
    centres, sizes = reference.padded_box(np.array(BOXES)[:, :4], WIDTH / HEIGHT, spec.padding)
    crops = []
    for matrix in reference.crop_matrix(centres, sizes, WIDTH, HEIGHT):
        grey = reference.bilinear_crop(rgb, matrix, HEIGHT, WIDTH)
        grey = grey if spec.channel_order == "rgb" else grey[..., ::-1]
        crops.append((grey / 255 - np.array(spec.mean)) / np.array(spec.std))
    images = np.stack(crops)
    maps = tiny_heatmaps(file, images)
    if flip:
        mirrored = tiny_heatmaps(file, images[:, :, ::-1])
        pairs = list(COCO17.mirror_pairs)
        maps = reference.flip_average(maps, mirrored, pairs, decode.flip_shift)
    if decode.kind == "argmax":
        coordinates, scores = reference.argmax(maps)
    else:
        assert decode.beta is not None
        coordinates, scores = reference.soft_argmax(maps, decode.beta)
    clear = ~reference.ambiguous(maps, coordinates, peak=decode.kind == "argmax")
    if decode.quarter_step:
        coordinates = reference.quarter_step(maps, coordinates)
    found = reference.heatmap_to_image(
        coordinates, centres[:, None], sizes[:, None], WIDTH // 4, HEIGHT // 4
    )
    return found, scores, clear


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("network_order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    "decode",
    [
        DecodeSpec(),
        DecodeSpec(quarter_step=False, beta=40.0, flip_shift=0),
        DecodeSpec(kind="argmax", beta=None, flip_shift=2),
    ],
    ids=["beta160-quarter", "beta40", "argmax-quarter"],
)
def test_poses(
    decode: DecodeSpec, network_order: str, order: str, flip: bool, photo: NDArray[np.uint8]
) -> None:
    spec = InputSpec(channel_order=network_order, height=HEIGHT, width=WIDTH)
    file = tiny_model_file(input=spec, decode=decode)
    image = photo if order == "rgb" else np.ascontiguousarray(photo[..., ::-1])
    people = PoseEstimator(Model(file, threads=1))(image, BOXES, order=order, flip=flip)
    wanted, scores, clear = _reference_poses(file, photo, flip)
    # Where a crop leaves the image it is flat, and joints there are ties.
    assert (~clear).mean() <= 0.1
    assert people.keypoints.shape == (3, 17, 2)
    assert people.keypoints.dtype == people.scores.dtype == np.float32
    assert np.abs(people.keypoints - wanted)[clear].max() <= 1e-3
    np.testing.assert_allclose(people.raw_scores[clear], scores[clear], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(people.scores, np.clip(people.raw_scores, 0, 1))
    np.testing.assert_array_equal(people.boxes, np.array(BOXES)[:, :4])
    np.testing.assert_array_equal(people.box_scores, np.array(BOXES)[:, 4])


def test_all_kinds_of_images_agree(
    estimator: PoseEstimator, photo: NDArray[np.uint8], photo_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    wanted = estimator(photo, BOXES, order="rgb").keypoints
    flipped = np.ascontiguousarray(photo[..., ::-1])
    with image.open(photo_path) as opened:
        of_pil = estimator(opened, BOXES)
    for found in (
        estimator(photo_path, BOXES),
        estimator(str(photo_path), BOXES),
        of_pil,
        estimator(flipped, BOXES, order="bgr"),
    ):
        np.testing.assert_array_equal(found.keypoints, wanted)


def test_dlpack_image(estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    found = estimator(torch.from_numpy(photo.copy()), BOXES, order="rgb")
    np.testing.assert_array_equal(found.keypoints, estimator(photo, BOXES, order="rgb").keypoints)


def test_boxes(estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    xywh = np.array(BOXES)[:, :4]
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    wanted = estimator(photo, xywh, order="rgb")
    found = estimator(photo, xyxy, order="rgb", box_format="xyxy")
    np.testing.assert_allclose(found.keypoints, wanted.keypoints, rtol=0, atol=1e-3)
    assert wanted.box_scores.tolist() == [1, 1, 1]
    whole = estimator(photo, whole_image=True, order="rgb")
    same = estimator(photo, [[0, 0, 160, 120]], order="rgb")
    np.testing.assert_array_equal(whole.keypoints, same.keypoints)
    assert whole.boxes.tolist() == [[0, 0, 160, 120]]


def test_nobody(estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    cases: tuple[object, ...] = ([], np.zeros((0, 4)), np.zeros((0, 5)))
    for boxes in cases:
        people = estimator(photo, boxes, order="rgb")
        assert len(people) == 0
        assert people.keypoints.shape == (0, 17, 2)
        assert people.scores.shape == (0, 17)
        assert people.boxes.shape == (0, 4)
        assert people.box_scores.shape == (0,)
        assert people.to_coco(1) == []
        assert people.to_dict()["people"] == []
        assert list(people) == []


def test_a_crowd_is_the_same_people(estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    generator = np.random.default_rng(5)
    boxes = np.concatenate(
        [generator.uniform(-10, 100, (75, 2)), generator.uniform(10, 90, (75, 2))], axis=1
    )
    crowd = estimator(photo, boxes, order="rgb", flip=True)
    for index in (0, 31, 32, 74):
        alone = estimator(photo, boxes[index : index + 1], order="rgb", flip=True)
        np.testing.assert_array_equal(alone.keypoints[0], crowd.keypoints[index])


def test_box_outside_the_image(estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    # Only black is seen there: the same as of a black image.
    outside = estimator(photo, [[1000, 1000, 50, 80]], order="rgb")
    black = estimator(np.zeros_like(photo), [[1000, 1000, 50, 80]], order="rgb")
    np.testing.assert_array_equal(outside.keypoints, black.keypoints)
    assert np.isfinite(outside.keypoints).all()


def test_nan_heatmaps(tiny: ModelFile, photo: NDArray[np.uint8]) -> None:
    weights = {name: array.copy() for name, array in tiny.weights.items()}
    weights["head.bias"][3] = np.nan
    people = PoseEstimator(Model(replace(tiny, weights=weights)))(photo, BOXES, order="rgb")
    assert np.isnan(people.keypoints[:, 3]).all()
    assert (people.scores[:, 3] == 0).all()
    others = np.delete(np.arange(17), 3)
    assert np.isfinite(people.keypoints[:, others]).all()


@pytest.mark.parametrize("network_order", ["rgb", "bgr"])
def test_model_takes_bytes_and_floats(network_order: str) -> None:
    file = tiny_model_file(input=InputSpec(channel_order=network_order, height=64, width=48))
    crops = np.random.default_rng(1).integers(0, 256, (3, 64, 48, 3), np.uint8)
    own = crops if network_order == "rgb" else crops[..., ::-1]
    normal = (own / 255 - np.array(file.input.mean)) / np.array(file.input.std)
    wanted = tiny_heatmaps(file, normal).transpose(0, 2, 3, 1)
    with Model(file) as model:
        for given in (crops, normal.astype(np.float32)):
            found = model(given)
            assert found.dtype == np.float32
            assert np.abs(found - wanted).max() <= 2e-6 * np.abs(wanted).max()
        assert model(crops[:0]).shape == (0, 16, 12, 17)
        # Other sizes, as long as the heatmaps are a quarter.
        assert model(np.zeros((1, 32, 80, 3), np.uint8)).shape == (1, 8, 20, 17)


def test_model_takes_dlpack(tiny: ModelFile) -> None:
    torch = pytest.importorskip("torch")
    crops = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 64, 48, 3))).float()
    with Model(tiny) as model:
        np.testing.assert_array_equal(model(crops), model(crops.numpy()))


def test_options_and_repr(tiny: ModelFile) -> None:
    isa = lpn_core.supported_isas()[-1]
    with Model(tiny, threads=2, isa=isa) as model:
        assert model.threads == 2
        assert model.isa == isa
        assert model.keypoint_set is COCO17
        assert model.input == tiny.input
        assert model.decode == tiny.decode
        assert "'tiny' 48x64 coco17 fp32" in repr(model)
    assert "closed" in repr(model)


def test_pickle(tiny: ModelFile, estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    wanted = estimator(photo, BOXES, order="rgb").keypoints
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy(photo, BOXES, order="rgb").keypoints, wanted)
    model = pickle.loads(pickle.dumps(Model(tiny, threads=3)))
    assert model.threads == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork(tiny: ModelFile, photo: NDArray[np.uint8]) -> None:
    pose = PoseEstimator(Model(tiny, threads=2))
    wanted = pose(photo, BOXES, order="rgb").keypoints
    child = os.fork()
    if child == 0:
        status = 1
        try:
            found = pose(photo, BOXES, order="rgb").keypoints
            status = 0 if np.array_equal(found, wanted) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(pose(photo, BOXES, order="rgb").keypoints, wanted)


def test_close(tiny: ModelFile, photo: NDArray[np.uint8]) -> None:
    with PoseEstimator(Model(tiny)) as pose:
        pose(photo, whole_image=True, order="rgb")
    with pytest.raises(ValueError, match="model 'tiny' is closed; load it again"):
        pose(photo, whole_image=True, order="rgb")
    pose.close()


def test_load_by_path(tiny_path: Path, estimator: PoseEstimator, photo: NDArray[np.uint8]) -> None:
    for path in (tiny_path, str(tiny_path)):
        with lpn_core.load(path, threads=1) as pose:
            assert pose.model.name == "tiny"
            found = pose(photo, BOXES, order="rgb")
            wanted = estimator(photo, BOXES, order="rgb")
            np.testing.assert_array_equal(found.keypoints, wanted.keypoints)


@pytest.mark.skipif(not lpn_core.bundled_models(), reason="this build carries no weights")
def test_bundled_models_pass_their_self_test() -> None:
    from lpn_core.convert import SELF_TEST_TOLERANCE, self_test_error

    for name in lpn_core.bundled_models():
        with lpn_core.load(name) as pose:
            assert pose.model.name == name
            assert self_test_error(pose.model) <= SELF_TEST_TOLERANCE
