"""The affine crop against a float64 bilinear reference with zero border, and against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from lpn_core import _core
from lpn_core.ops import crop_affine
from numpy.typing import NDArray

TIERS = _core.supported_isas()
# Grey levels: six roundings of a float32 (two weights, and a product and a sum along x and y).
ROUNDING = 6 * 255 * 2.0**-24
# (height, width) and boxes xywh: inside, across each border, around, outside.
IMAGES = {
    (480, 640): [
        (100, 50, 200, 380),
        (-60, 30, 180, 300),
        (560, 300, 190, 320),
        (-300, -300, 1300, 1200),
        (900, 700, 60, 80),
    ],
    (1080, 1920): [(700.3, 90.7, 410.2, 930.9), (1800.5, 900.25, 300, 400)],
    (2160, 3840): [(3300.1, 1500.3, 500.7, 640.9), (100, 80, 3600.5, 2000.3), (5.5, 6.5, 30, 40)],
    (3, 2): [(0, 0, 2, 3), (-5, -5, 12, 13)],
    (1, 1): [(0, 0, 1, 1), (-2, -3, 7, 8)],
}
CASES = [(size, box) for size, boxes in IMAGES.items() for box in boxes]


def _image(height: int, width: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(height * width)
    return generator.integers(0, 256, (height, width, 3), np.uint8)


def _matrix(box: tuple[float, ...], height: int = 256, width: int = 192) -> NDArray[np.float64]:
    centre, size = reference.padded_box(box, width / height, 1.25)
    return reference.crop_matrix(centre, size, width, height)


def _rotated(matrix: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """The crop turned about its destination's origin."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
    return np.asarray(matrix @ np.vstack([turn, [0, 0, 1]]))


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize(("size", "box"), CASES, ids=str)
def test_crop_matches_float64(size: tuple[int, int], box: tuple[float, ...], isa: str) -> None:
    image = _image(*size)
    upright = _matrix(box)
    mirrored = upright @ np.array([[-1, 0, 191], [0, 1, 0], [0, 0, 1]])
    matrices = np.stack([upright, mirrored, _rotated(upright, 20), _rotated(upright, -65)])
    crops = crop_affine(image, matrices, 256, 192, isa=isa)
    for matrix, crop in zip(matrices, crops, strict=True):
        expected = reference.bilinear_crop(image, matrix, 256, 192)
        assert np.abs(crop - expected).max() <= ROUNDING
    np.testing.assert_allclose(crops[1], crops[0][:, ::-1], rtol=0, atol=2 * ROUNDING)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize(("size", "box"), CASES, ids=str)
def test_crop_is_near_opencv(size: tuple[int, int], box: tuple[float, ...], isa: str) -> None:
    cv2 = pytest.importorskip("cv2")
    # OpenCV samples at multiples of 1/32 pixel and rounds its result. Between the neighbours of
    # white noise, 85 levels apart, that alone is 0.5 on average: blur it to a photograph's level.
    image = cv2.GaussianBlur(_image(*size), (0, 0), 1.0)
    upright = _matrix(box)
    for matrix in (upright, _rotated(upright, 20)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(image, matrix, (192, 256), flags=flags)
        crop = crop_affine(image, matrix[None], 256, 192, isa=isa)[0]
        assert np.abs(crop - expected).mean() <= 0.5


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("degrees", [0, 30])
def test_channels_and_normalisation(degrees: float, isa: str) -> None:
    image = _image(40, 30)
    matrix = _rotated(_matrix((3, 4, 20, 30), 23, 19), degrees)
    scale, shift = (0.5, 2.0, 1 / 58.4), (-1.0, 10.0, 0.25)
    crop = crop_affine(image, matrix[None], 23, 19, (2, 1, 0), scale, shift, isa=isa)[0]
    sampled = reference.bilinear_crop(image, matrix, 23, 19)[..., ::-1]
    np.testing.assert_allclose(crop, sampled * scale + np.array(shift), atol=2e-3, rtol=0)


@pytest.mark.parametrize("isa", TIERS)
def test_identity_copies_the_image(isa: str) -> None:
    image = _image(37, 53)
    identity = np.eye(2, 3)[None]
    np.testing.assert_array_equal(crop_affine(image, identity, 37, 53, isa=isa)[0], image)


@pytest.mark.parametrize("isa", TIERS)
def test_half_a_pixel_outside_is_half_the_edge(isa: str) -> None:
    image = np.full((6, 5, 3), 200, np.uint8)
    matrix = np.array([[[1.0, 0, -0.5], [0, 1.0, 0]]])
    crop = crop_affine(image, matrix, 6, 6, isa=isa)[0]
    np.testing.assert_allclose(crop[:, 0], 100, atol=1e-4)
    np.testing.assert_allclose(crop[:, 1:5], 200, atol=1e-4)
    np.testing.assert_allclose(crop[:, 5], 100, atol=1e-4)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("degrees", [0, 12])
def test_padded_rows_are_not_image(degrees: float, isa: str) -> None:
    wide = np.full((24, 40, 3), 255, np.uint8)
    view = wide[:, :17]
    view[...] = _image(24, 17)
    matrix = _rotated(_matrix((-4, -4, 30, 40), 32, 24), degrees)[None]
    expected = crop_affine(np.ascontiguousarray(view), matrix, 32, 24, isa=isa)
    np.testing.assert_array_equal(crop_affine(view, matrix, 32, 24, isa=isa), expected)


@pytest.mark.parametrize("isa", TIERS)
def test_threads_do_not_change_the_bits(isa: str) -> None:
    image = _image(480, 640)
    boxes = [(100, 50, 200, 380), (-60, 30, 180, 300), (560, 300, 190, 320)]
    upright = np.stack([_matrix(box) for box in boxes])
    matrices = np.concatenate([upright, np.stack([_rotated(m, 33) for m in upright])])
    alone = crop_affine(image, matrices, 256, 192, isa=isa, threads=1)
    for threads in (2, 3):
        crops = crop_affine(image, matrices, 256, 192, isa=isa, threads=threads)
        np.testing.assert_array_equal(crops, alone)
    single = crop_affine(image, matrices[2:3], 256, 192, isa=isa)
    np.testing.assert_array_equal(single[0], alone[2])


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("huge", [1e10, 1e19, 1e30])
def test_far_coordinates_are_black(huge: float, isa: str) -> None:
    image = _image(20, 20)
    matrices = np.array(
        [[[1, 0, huge], [0, 1, -huge]], [[huge, 0, 30], [0, huge, 30]], [[1, huge, 30], [0, 1, -9]]]
    )
    crops = crop_affine(image, matrices, 8, 9, shift=(1.0, 2.0, 3.0), isa=isa)
    np.testing.assert_array_equal(crops, np.broadcast_to([1, 2, 3], crops.shape).astype("f4"))


@pytest.mark.parametrize("isa", TIERS)
def test_no_matrices(isa: str) -> None:
    assert crop_affine(_image(5, 5), np.zeros((0, 2, 3)), 8, 6, isa=isa).shape == (0, 8, 6, 3)
