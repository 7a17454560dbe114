"""From heatmaps and boxes to image coordinates against the float64 reference.

A quarter pixel can hang on the last bit of a tie or of a rounding boundary: inputs within 1e-5 of
one are left out and counted, and must stay under 0.1%.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
from lpn_core import _core, flip, keypoints, preprocess
from lpn_core.image import decode
from lpn_core.model.spec import DecodeSpec, InputSpec
from numpy.typing import NDArray

TIERS = _core.supported_isas()
HEIGHT, WIDTH, JOINTS = 64, 48, 17
PEOPLE = 200
# COCO: odd joints are left, the next even one is the same joint on the right.
PAIRS = [(left, left + 1) for left in range(1, JOINTS, 2)]
PIXELS = 1e-3
LEFT_OUT = 1e-3


def _noise(generator: np.random.Generator) -> NDArray[np.float32]:
    """Heatmaps (N, K, H, W) without any structure."""
    maps = generator.normal(0, 0.25, (PEOPLE, JOINTS, HEIGHT, WIDTH))
    return maps.astype(np.float32)


def _peaks(generator: np.random.Generator) -> NDArray[np.float32]:
    """Heatmaps as a network gives them: a Gaussian, inside or half outside, under some noise."""
    x = generator.uniform(-2, WIDTH + 1, (PEOPLE, JOINTS, 1, 1))
    y = generator.uniform(-2, HEIGHT + 1, (PEOPLE, JOINTS, 1, 1))
    height = generator.uniform(0.05, 1.2, (PEOPLE, JOINTS, 1, 1))
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    maps = height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    maps += generator.normal(0, 0.03, maps.shape)
    return maps.astype(np.float32)


def _boxes(generator: np.random.Generator) -> NDArray[np.float64]:
    """Boxes xywh of all proportions, some partly outside a 640 x 480 image."""
    corner = generator.uniform((-60, -60), (600, 440), (PEOPLE, 2))
    return np.concatenate([corner, generator.uniform(8, 480, (PEOPLE, 2))], axis=1)


def _nhwc(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(maps.transpose(0, 2, 3, 1))


def _reference_decode(
    maps: NDArray[np.floating], spec: DecodeSpec
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Coordinates, scores, and which heatmaps count."""
    if spec.kind == "argmax":
        coordinates, scores = reference.argmax(maps)
    else:
        assert spec.beta is not None
        coordinates, scores = reference.soft_argmax(maps, spec.beta)
    clear = ~reference.ambiguous(maps, coordinates, peak=spec.kind == "argmax")
    if spec.quarter_step:
        coordinates = reference.quarter_step(maps, coordinates)
    return coordinates, scores, clear


def _assert_close(
    ours: NDArray[np.floating],
    exact: NDArray[np.float64],
    clear: NDArray[np.bool_],
    unit: float | NDArray[np.float64] = 1.0,
) -> None:
    assert ours.shape == exact.shape
    assert (~clear).mean() < LEFT_OUT
    error = np.abs(ours - exact).max(axis=-1) / unit
    assert error[clear].max() <= PIXELS


SPECS = [
    pytest.param(DecodeSpec(kind=kind, beta=beta, quarter_step=quarter), id=label)
    for kind, beta, quarter, label in (
        ("soft_argmax", 160.0, True, "beta160-quarter"),
        ("soft_argmax", 160.0, False, "beta160"),
        ("soft_argmax", 40.0, True, "beta40-quarter"),
        ("argmax", None, True, "argmax-quarter"),
        ("argmax", None, False, "argmax"),
    )
]


@pytest.mark.parametrize("make", [_noise, _peaks])
@pytest.mark.parametrize("spec", SPECS)
def test_decode(spec: DecodeSpec, make: object) -> None:
    assert callable(make)
    maps = make(np.random.default_rng(11))
    exact, exact_scores, clear = _reference_decode(maps, spec)
    arrays = {"nchw": maps, "nhwc": _nhwc(maps)}
    for tier, layout in itertools.product(TIERS, arrays):
        coordinates, scores = decode.decode(arrays[layout], spec, layout=layout, isa=tier)
        assert coordinates.dtype == scores.dtype == np.float32
        _assert_close(coordinates, exact, clear)
        np.testing.assert_array_equal(scores[clear], exact_scores[clear].astype(np.float32))


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_flip_average(shift: int) -> None:
    generator = np.random.default_rng(12)
    maps, mirrored = _noise(generator), _noise(generator)
    exact = reference.flip_average(maps, mirrored, PAIRS, shift)
    ours = flip.average_flipped(_nhwc(maps), _nhwc(mirrored), keypoints.COCO17, shift=shift)
    # One rounding of a sum of two, then a halving, which is exact.
    bound = np.finfo(np.float32).eps * np.abs(exact).max()
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), exact, rtol=0, atol=bound)


@pytest.mark.parametrize("make", [_noise, _peaks])
@pytest.mark.parametrize(
    ("spec", "shift"),
    [pytest.param(*spec.values, 1, id=f"{spec.id}-shift1") for spec in SPECS]
    + [pytest.param(DecodeSpec(), shift, id=f"beta160-quarter-shift{shift}") for shift in (0, 2)],
)
def test_flip_test_to_image_coordinates(spec: DecodeSpec, shift: int, make: object) -> None:
    assert callable(make)
    generator = np.random.default_rng(13 + shift)
    maps = make(generator)
    # What a network says of the mirrored crop: about the mirrored maps of the other side's joints.
    swapped = np.arange(JOINTS)
    for left, right in PAIRS:
        swapped[[left, right]] = right, left
    mirrored = maps[:, swapped, :, ::-1] + generator.normal(0, 0.02, maps.shape)
    mirrored = mirrored.astype(np.float32)
    boxes = _boxes(generator)

    averaged = reference.flip_average(maps, mirrored, PAIRS, shift)
    exact, _, clear = _reference_decode(averaged, spec)
    centre, size = reference.padded_box(boxes, 192 / 256, 1.25)
    exact = reference.heatmap_to_image(exact, centre[:, None], size[:, None], WIDTH, HEIGHT)

    ours = flip.average_flipped(_nhwc(maps), _nhwc(mirrored), keypoints.COCO17, shift=shift)
    where = preprocess.regions(boxes, InputSpec(channel_order="rgb"))
    # Without a peak, the softmax weighs places far apart, and the one rounding of the average
    # moves its mean by up to beta * 2^-25 * 48 px: the unit is then a heatmap pixel.
    unit = size[:, :1] / WIDTH if make is _noise else 1.0
    for tier in TIERS:
        coordinates, _ = decode.decode(ours, spec, layout="nhwc", isa=tier)
        _assert_close(where.to_image(coordinates, HEIGHT, WIDTH), exact, clear, unit)


def test_crop_regions() -> None:
    boxes = _boxes(np.random.default_rng(14))
    for height, width in ((256, 192), (256, 256), (384, 288)):
        spec = InputSpec(channel_order="rgb", height=height, width=width)
        centre, size = reference.padded_box(boxes, width / height, 1.25)
        exact = reference.crop_matrix(centre, size, width, height)
        ours = preprocess.regions(boxes, spec).matrices(height, width)
        np.testing.assert_allclose(ours, exact, rtol=1e-12, atol=1e-9)


def test_reference_agrees_with_opencv_and_pycocotools() -> None:
    """The reference itself, against code that is not ours."""
    cv2 = pytest.importorskip("cv2")
    pycocotools = pytest.importorskip("pycocotools.cocoeval")
    generator = np.random.default_rng(15)
    image = cv2.GaussianBlur(generator.integers(0, 256, (120, 90, 3)).astype(np.uint8), (0, 0), 2)
    matrix = np.array([[0.41, 0.05, -9.3], [-0.03, 0.43, 4.7]])
    exact = reference.bilinear_crop(image, matrix, 256, 192)
    other = cv2.warpAffine(image, matrix, (192, 256), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    assert np.abs(exact - other).mean() <= 0.5

    truth = np.concatenate(
        [generator.uniform(0, 200, (17, 2)), generator.integers(0, 3, (17, 1))], axis=1
    )
    found = truth[:, :2] + generator.normal(0, 5, (17, 2))
    params = pycocotools.Params(iouType="keypoints")
    evaluation = pycocotools.COCOeval.__new__(pycocotools.COCOeval)
    evaluation.params = params
    ground = {
        "keypoints": truth.ravel(), "bbox": [0, 0, 200, 200], "area": 9000.0, "num_keypoints": 12
    }  # fmt: skip
    guess = {"keypoints": np.c_[found, np.ones(17)].ravel(), "score": 1.0}
    evaluation._gts, evaluation._dts = {(1, 1): [ground]}, {(1, 1): [guess]}
    ours = reference.oks(found, truth[:, :2], truth[:, 2], 9000.0, keypoints.COCO17.sigmas)
    assert ours == pytest.approx(float(evaluation.computeOks(1, 1)[0, 0]), abs=1e-12)
