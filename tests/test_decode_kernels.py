"""beta-Soft-Argmax and argmax of heatmaps against float64 NumPy, on every tier."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from lpn_core import _core
from lpn_core.image.decode import argmax, soft_argmax
from numpy.typing import NDArray

TIERS = _core.supported_isas()
BETAS = [1.0, 10.0, 100.0, 160.0, 1e3, 1e4]
SIZES = [(64, 48), (128, 96), (1, 1), (1, 20), (17, 1), (5, 13), (33, 31)]

Array = NDArray[np.float32]


def _peaks(generator: np.random.Generator, count: int, height: int, width: int) -> Array:
    """Gaussian peaks of sigma 2 and random height with some noise, as a network gives them."""
    y, x = np.mgrid[:height, :width]
    centres = generator.random((count, 2)) * (height, width)
    peak = generator.uniform(0.05, 1.0, (count, 1, 1))
    distance = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    noise = 0.01 * generator.standard_normal((count, height, width))
    maps: Array = (peak * np.exp(-distance / 8) + noise).astype(np.float32)
    return maps


def _families(height: int, width: int) -> dict[str, Array]:
    generator = np.random.default_rng(height * 1000 + width)
    shape = (5, height, width)
    return {
        "normal": generator.standard_normal(shape).astype(np.float32),
        "uniform": generator.random(shape, np.float32),
        "peaks": _peaks(generator, 5, height, width),
        "constant": np.full(shape, 0.37, np.float32),
        "huge": (generator.uniform(-1, 1, shape) * 3e38).astype(np.float32),
        "tiny": (generator.uniform(-1, 1, shape) * 1e-40).astype(np.float32),
        "far from 0": generator.random(shape, np.float32) + np.float32(1000),
    }


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_soft_argmax_matches_float64(size: tuple[int, int], beta: float, isa: str) -> None:
    for name, maps in _families(*size).items():
        coordinates, scores = soft_argmax(maps[None], layout="nchw", beta=beta, isa=isa)
        expected, _ = reference.soft_argmax(maps[None], beta)
        assert np.abs(coordinates - expected).max() <= 1e-4, name
        rounded = np.round(coordinates[0]).astype(int)
        at_rounded = maps[np.arange(len(maps)), rounded[:, 1], rounded[:, 0]]
        np.testing.assert_array_equal(scores[0], at_rounded, err_msg=name)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("quarter_step", [False, True])
def test_layouts_give_the_same_bits(quarter_step: bool, isa: str) -> None:
    generator = np.random.default_rng(1)
    maps = generator.standard_normal((3, 17, 33, 29)).astype(np.float32)
    nhwc = np.ascontiguousarray(maps.transpose(0, 2, 3, 1))
    for decoder in (soft_argmax, argmax):
        first = decoder(maps, layout="nchw", quarter_step=quarter_step, isa=isa)
        second = decoder(nhwc, layout="nhwc", quarter_step=quarter_step, isa=isa)
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("isa", TIERS)
def test_rounding_is_half_to_even(isa: str) -> None:
    row = np.array([0, 1, 0.5, 0.25, 1], np.float32)  # the mean is 2.5: rounded to 2, not 3
    coordinates, scores = soft_argmax(row.reshape(1, 1, 1, 5), layout="nchw", isa=isa)
    assert coordinates[0, 0].tolist() == [2.5, 0]
    assert scores[0, 0] == 0.5


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("size", [(64, 48), (128, 96), (5, 13), (33, 31), (4, 4), (3, 3)], ids=str)
def test_quarter_step(size: tuple[int, int], isa: str) -> None:
    generator = np.random.default_rng(2)
    maps = np.concatenate([_peaks(generator, 200, *size), -_peaks(generator, 20, *size)])[None]
    for decoder in (soft_argmax, argmax):
        before, scores = decoder(maps, layout="nchw", isa=isa)
        after, same_scores = decoder(maps, layout="nchw", quarter_step=True, isa=isa)
        # The step hangs on the coordinates as they were found, so the reference starts from them.
        expected = reference.quarter_step(maps, before.astype(np.float64))
        np.testing.assert_array_equal(after, expected.astype(np.float32))
        np.testing.assert_array_equal(scores, same_scores)
        if size[0] > 30:
            assert (after != before).any(), "this test never saw a step"


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 20), (17, 1), (2, 30), (30, 2)], ids=str)
def test_maps_too_thin_for_a_quarter_step(size: tuple[int, int], isa: str) -> None:
    maps = np.random.default_rng(5).random((1, 50, *size), np.float32)
    for decoder in (soft_argmax, argmax):
        before, _ = decoder(maps, layout="nchw", isa=isa)
        after, _ = decoder(maps, layout="nchw", quarter_step=True, isa=isa)
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("isa", TIERS)
def test_quarter_step_is_not_taken_on_a_plateau(isa: str) -> None:
    maps = np.zeros((1, 1, 9, 9), np.float32)
    maps[0, 0, 4, 4] = 1
    for decoder in (soft_argmax, argmax):
        coordinates, _ = decoder(maps, layout="nchw", quarter_step=True, isa=isa)
        np.testing.assert_allclose(coordinates[0, 0], [4, 4], atol=1e-6)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_argmax_matches_numpy(size: tuple[int, int], isa: str) -> None:
    generator = np.random.default_rng(3)
    maps = generator.standard_normal((1, 40, *size)).astype(np.float32)
    maps[:, 10:20] = np.round(maps[:, 10:20])  # ties: the first one wins
    maps[:, 20:30] -= 10  # nothing above 0: (0, 0)
    maps[:, 30] = 0
    coordinates, scores = argmax(maps, layout="nchw", isa=isa)
    expected, expected_scores = reference.argmax(maps)
    np.testing.assert_array_equal(coordinates, expected)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("isa", TIERS)
def test_maps_that_are_not_finite(isa: str) -> None:
    generator = np.random.default_rng(4)
    maps = generator.random((1, 5, 12, 10), np.float32)
    maps[0, 1, 11, 9] = np.nan
    maps[0, 2, 3, 4] = np.inf
    maps[0, 3, 5, 6] = -np.inf
    maps[0, 4] = -np.inf
    coordinates, scores = soft_argmax(maps, layout="nchw", isa=isa)
    np.testing.assert_array_equal(np.isnan(coordinates[0, :, 0]), [False, True, True, False, True])
    np.testing.assert_array_equal(np.isnan(coordinates[0, :, 1]), [False, True, True, False, True])
    assert (scores[0, [1, 2, 4]] == 0).all()
    expected, _ = reference.soft_argmax(maps[:, [0, 3]], 160)
    assert np.abs(coordinates[:, [0, 3]] - expected).max() <= 1e-4
    coordinates, scores = argmax(maps, layout="nchw", isa=isa)
    assert np.isnan(coordinates[0, 1]).all()
    assert coordinates[0, 2].tolist() == [4, 3]
    np.testing.assert_array_equal(scores[0, [1, 2]], [0, np.inf])
    assert coordinates[0, 4].tolist() == [0, 0]


@pytest.mark.parametrize("isa", TIERS)
def test_no_maps(isa: str) -> None:
    for decoder in (soft_argmax, argmax):
        coordinates, scores = decoder(np.zeros((0, 17, 8, 6), np.float32), layout="nchw", isa=isa)
        assert (coordinates.shape, scores.shape) == ((0, 17, 2), (0, 17))
