"""Tiers: what the machine offers, what LPN_ISA and ``isa=`` choose, and that kernels follow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lpn_core
import lpn_core._core as _core
import numpy as np
import pytest
from isa_sets import FEATURES
from lpn_core import ops
from networks import Network, compile_state, random_state

ALL_TIERS = tuple(FEATURES)
TIERS = _core.supported_isas()


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LPN_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _cpu_flags() -> set[str]:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            found = [line.split(":")[1].split() for line in lines if line.startswith("flags")]
    except OSError:
        found = []
    if not found:
        pytest.skip("/proc/cpuinfo lists no x86 flags")
    return set(found[0])


def test_supported_tiers_are_known_and_start_with_scalar() -> None:
    assert TIERS[0] == "scalar"
    assert list(TIERS) == [tier for tier in ALL_TIERS if tier in TIERS]


def test_supported_tiers_are_those_of_the_kernel_of_the_system() -> None:
    """A set that no kernel of this build needs is none of them, whatever the CPU has."""
    flags = {flag.replace("_", "") for flag in _cpu_flags()}  # avx512_vnni, but avx512vl
    built = {isa for variants in _core.kernels().values() for _, isa in variants}
    assert built
    for tier, needed in FEATURES.items():
        assert (tier in TIERS) == (tier in built and flags.issuperset(needed)), tier


def test_default_is_the_best_supported_tier() -> None:
    done = _python("from lpn_core import _core; print(_core.default_isa())")
    assert done.stdout.strip() == TIERS[-1], done.stderr


@pytest.mark.parametrize("tier", TIERS)
def test_environment_chooses_the_tier(tier: str) -> None:
    done = _python("from lpn_core import _core; print(_core.default_isa())", LPN_ISA=tier)
    assert done.stdout.strip() == tier, done.stderr


@pytest.mark.parametrize("name", ["avx1024", "AVX2", "sse", " "])
def test_unknown_tier_in_the_environment_is_refused(name: str) -> None:
    done = _python("from lpn_core import _core; _core.default_isa()", LPN_ISA=name)
    assert done.returncode != 0
    assert "ValueError" in done.stderr
    assert name in done.stderr
    for tier in TIERS:
        assert tier in done.stderr


def test_unsupported_tier_is_refused() -> None:
    missing = [tier for tier in ALL_TIERS if tier not in TIERS]
    if not missing:
        pytest.skip("this machine supports every tier")
    done = _python("from lpn_core import _core; _core.default_isa()", LPN_ISA=missing[0])
    assert done.returncode != 0
    assert "ValueError" in done.stderr
    assert missing[0] in done.stderr


def test_unknown_tier_as_argument_is_refused() -> None:
    network = Network(50, "none")
    with pytest.raises(ValueError, match="avx1024"):
        compile_state(random_state(network), network.depth, isa="avx1024")


def _first_that_fits(variants: list[tuple[str, str]], tier: str) -> str:
    return next(name for name, isa in variants if set(FEATURES[isa]) <= set(FEATURES[tier]))


@pytest.mark.parametrize("tier", TIERS)
def test_every_step_runs_the_first_kernel_that_fits_the_tier(tier: str) -> None:
    operators = {name: variants for variants in _core.kernels().values() for name, _ in variants}
    for attention in ("gc", "se", "none"):
        network = Network(50, attention)
        model = compile_state(random_state(network), network.depth, isa=tier)
        assert model.isa == tier
        steps = model.steps(256, 192)
        assert steps
        for step in steps:
            kernels = str(step["kernel"]).split(" + ")
            assert kernels == [_first_that_fits(operators[name], tier) for name in kernels]
            assert (kernels[-1], step["isa"]) in operators[kernels[-1]]


def test_the_environment_chooses_the_tier_of_a_compiled_model() -> None:
    code = (
        "from lpn_core import _core\n"
        "g = _core.Graph(); g.add_input('x', 3)\n"
        "g.add_node('max_pool2d', 'y', ['x'], {'kernel': 3, 'stride': 2, 'padding': 1}, {})\n"
        "g.add_output('y')\n"
        "m = _core.CompiledModel(g, 1, 'auto')\n"
        "print(m.isa, *[s['kernel'] for s in m.steps(8, 8)])\n"
    )
    for tier in TIERS:
        done = _python(code, LPN_ISA=tier)
        kernel = _first_that_fits(_core.kernels()["max_pool"], tier)
        assert done.stdout.split() == [tier, kernel], done.stderr


def _ones(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0.5, 1, shape).astype(np.float32)


X = _ones(1, 6, 6, 8)
CALLS = {
    "channel_mean": (X,),
    "conv2d": (X, _ones(4, 8, 3, 3)),
    "crop_affine": (np.ones((9, 9, 3), np.uint8), np.ones((1, 2, 3)), 4, 4),
    "depthwise_conv2d": (X, _ones(8, 1, 3, 3)),
    "gc_pool": (X, _ones(8)),
    "gc_transform": (_ones(1, 8), _ones(4, 8), *[_ones(4)] * 3, _ones(8, 4), _ones(8)),
    "group_deconv2d": (X, _ones(8, 8, 4, 4)),
    "max_pool2d": (X, 2, 2),
    "pointwise_conv2d": (X, _ones(4, 8)),
    "se_gate": (_ones(1, 8), _ones(4, 8), _ones(8, 4)),
}


@pytest.mark.parametrize("name", ops.__all__)
def test_no_tier_is_the_best_one(name: str) -> None:
    function = getattr(ops, name)
    np.testing.assert_array_equal(function(*CALLS[name], isa=None), function(*CALLS[name]))


def test_no_tier_is_the_best_one_for_decoding() -> None:
    for decoder in (lpn_core.soft_argmax, lpn_core.argmax):
        for found, wanted in zip(
            decoder(X, layout="nchw", isa=None), decoder(X, layout="nchw"), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
