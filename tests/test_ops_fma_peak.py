"""The chains that measure the CPU's limit, and what asks for the figure."""

from __future__ import annotations

import numpy as np
import pytest
from lpn_core import _core

TIERS = _core.supported_isas()
EPSILON = 2.0**-24
VALUES = 192


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("steps", [0, 1, 9, 250])
def test_chains_against_float64(steps: int, isa: str) -> None:
    x = np.random.default_rng(0).normal(0, 50, VALUES).astype(np.float32)
    factor, addend = np.float32(0.98), np.float32(-0.3)
    expected, tolerance = x.astype(np.float64), np.zeros(VALUES)
    for _ in range(steps):
        product = expected * np.float64(factor)
        expected = product + np.float64(addend)
        # What was off shrinks; the scalar tier rounds the product and the sum.
        tolerance = tolerance * float(factor) + EPSILON * (np.abs(product) + np.abs(expected))
    actual = _core.fma_peak(x, float(factor), float(addend), steps, isa)
    assert actual.dtype == np.float32
    assert (np.abs(actual - expected) <= 1.001 * tolerance).all()


def test_tiers_with_fma_give_the_same_bits() -> None:
    x = np.random.default_rng(1).standard_normal(VALUES).astype(np.float32)
    results = [_core.fma_peak(x, 0.75, 1.25, 40, isa) for isa in TIERS if isa != "scalar"]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros(191, np.float32), 0.5, 1.0, 1, "auto"), r"x has shape \(191,\).*\(192,\)"),
        ((np.zeros(VALUES, np.float32), 1.0, 1.0, 1, "auto"), "factor is 1; .*between 0 and 1"),
        ((np.zeros(VALUES, np.float32), float("nan"), 1.0, 1, "auto"), "factor is nan"),
        ((np.zeros(VALUES, np.float32), 0.5, float("inf"), 1, "auto"), "addend is inf"),
        ((np.zeros(VALUES, np.float32), 0.5, 1.0, -1, "auto"), "steps is -1"),
        ((np.zeros(VALUES, np.float32), 0.5, 1.0, 1, "sse9"), "sse9"),
    ],
)
def test_chains_refuse(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _core.fma_peak(*arguments)  # type: ignore[arg-type]


def test_chains_refuse_float64() -> None:
    with pytest.raises(TypeError, match="float64"):
        _core.fma_peak(np.zeros(VALUES), 0.5, 1.0, 1, "auto")  # type: ignore[arg-type]


@pytest.mark.parametrize("isa", TIERS)
def test_chains_of_bfloat16_add_both_signs_of_a_product(isa: str) -> None:
    x = np.random.default_rng(2).normal(0, 1, VALUES).astype(np.float32)
    expected, product = x.copy(), np.float32(0.75 * -1.25)  # both factors are bfloat16
    for _ in range(9):
        expected = (expected - product) + product
    actual = _core.fma_peak(x, 0.75, -1.25, 9, isa, "bfloat16")
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("steps", [0, 1, 9, 250])
def test_chains_of_bytes_add_four_products(steps: int, isa: str) -> None:
    x = np.random.default_rng(3).uniform(-1e5, 1e5, VALUES).astype(np.float32)
    actual = _core.fma_peak(x, 0.7, 1.0, steps, isa, "int8")
    grown = np.rint(x).astype(np.int64) + steps * round(255 * 0.7)
    np.testing.assert_array_equal(actual, grown.astype(np.float32))


def test_chains_of_bytes_refuse_what_32_bits_do_not_hold() -> None:
    with pytest.raises(ValueError, match=r"steps is 4194305; of int8 .* at most 4194304"):
        _core.fma_peak(np.zeros(VALUES, np.float32), 0.5, 1.0, 4_194_305, "auto", "int8")
    for value in (1.1e9, np.nan):
        x = np.zeros(VALUES, np.float32)
        x[3] = value
        with pytest.raises(ValueError, match=r"x\[3\] is .* between -2\^30 and 2\^30"):
            _core.fma_peak(x, 0.5, 1.0, 1, "auto", "int8")


def test_chains_refuse_another_dtype() -> None:
    with pytest.raises(ValueError, match=r'dtype "float16" .*give float32, bfloat16 or int8'):
        _core.fma_peak(np.zeros(VALUES, np.float32), 0.5, 1.0, 1, "auto", "float16")
    with pytest.raises(ValueError, match='dtype "uint8" is not known'):
        _core.peak_gflops("auto", 1, 0.001, "uint8")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("isa", [*TIERS, "auto"])
@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_peak_is_a_speed(threads: int, isa: str, dtype: str) -> None:
    gflops = _core.peak_gflops(isa, threads, 0.001, dtype)
    assert isinstance(gflops, float)
    assert 0 < gflops < np.inf


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("auto", -1, 0.1), "threads is -1"),
        (("auto", 100_000, 0.1), "threads is 100000"),
        (("auto", 1, 0.0), "seconds is 0; .*above 0"),
        (("auto", 1, -1.0), "seconds is -1"),
        (("auto", 1, float("nan")), "seconds is nan"),
        (("auto", 1, 61.0), "at most 60"),
        (("sse9", 1, 0.1), "sse9"),
    ],
)
def test_peak_refuses(arguments: tuple[str, int, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _core.peak_gflops(*arguments)
