"""Whole networks, ours and the training package's, against the NumPy reference in float64.

The default run takes a subset in which every depth, attention, initialisation, size, batch and tier
appears; ``pytest -m "full or not full"`` runs the whole product.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import lpn_core._core as _core
import numpy as np
import pytest
from networks import Network, State, compile_state, random_images, random_state, run_torch
from numpy.typing import NDArray
from reference_network import lpn

pytest.importorskip("torch")

DEPTHS = (50, 101, 152)
ATTENTIONS = ("gc", "se", "none")
INITS = ("default", "he")
SIZES = ((256, 192), (256, 256), (384, 288), (224, 160))
BATCHES = (1, 3, 8)
TIERS = tuple(_core.supported_isas())

# Random SE gates on He activations, which grow with depth, are ill-conditioned: PyTorch's own
# float32 heatmaps are off by 2e-4 of their spread at depth 50, so no float32 engine can promise
# 1e-4 there; these are held to four times PyTorch's error instead. At depth 101 an input's last
# bit moves the exact heatmaps by a tenth of their range: where PyTorch's float32 keeps less than
# three digits, there is nothing left to compare.
ILL_CONDITIONED = tuple(Network(depth, "se", "he") for depth in DEPTHS)
MEANINGLESS = 1e-3

# (network, size) of the default run: a Latin square of depth and attention over the sizes.
SUBSET = [
    (Network(50, "gc", "he"), (256, 192)),
    (Network(50, "gc", "default"), (384, 288)),
    (Network(50, "se", "he"), (256, 256)),
    (Network(50, "none", "default"), (224, 160)),
    (Network(101, "gc", "he"), (224, 160)),
    (Network(101, "se", "default"), (256, 192)),
    (Network(101, "none", "he"), (256, 256)),
    (Network(152, "gc", "default"), (256, 256)),
    (Network(152, "se", "default"), (224, 160)),
    (Network(152, "none", "he"), (384, 288)),
]


def _cases() -> list[Any]:
    """Every case, network by network, so that references are computed once."""
    networks = [Network(*axes) for axes in itertools.product(DEPTHS, ATTENTIONS, INITS)]
    cases = []
    for network, size in itertools.product(networks, SIZES):
        for tier, batch in itertools.product(TIERS, BATCHES):
            chosen = (network, size) in SUBSET
            if tier == "scalar":
                # The slow tier: one image of each network, and every batch size once.
                small = network.depth == 50 and size in ((256, 192), (224, 160))
                chosen = chosen and (batch == 1 or small)
            label = f"{network.label}-{size[0]}x{size[1]}-b{batch}-{tier}"
            marks = () if chosen else (pytest.mark.full,)
            cases.append(pytest.param(network, size, batch, tier, id=label, marks=marks))
    return cases


class References(NamedTuple):
    """A network's weights, a batch of images, and their heatmaps: exact, and PyTorch's float32."""

    state: State
    images: NDArray[np.float32]
    exact: NDArray[np.float64]
    single: NDArray[np.float64]


@functools.lru_cache(maxsize=1)
def _references(network: Network, size: tuple[int, int]) -> References:
    state = random_state(network, seed=network.depth)
    # Two images by turns: that a place in a batch changes no bit is test_determinism's.
    pair = random_images(2, *size, seed=size[0])
    exact = lpn(state, pair, network.depth, network.attention)
    single = run_torch(network, state, pair, "float32")
    turns = np.arange(max(BATCHES)) % 2
    return References(state, pair[turns], exact[turns], single[turns])


def _relative_error(ours: NDArray[Any], reference: NDArray[np.float64]) -> float:
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def _error_in_spreads(ours: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """A heatmap of a random network is nearly constant: its own spread is the honest yardstick."""
    return float((np.abs(ours - reference).max(axis=(1, 2)) / reference.std(axis=(1, 2))).max())


@pytest.mark.parametrize(("network", "size", "batch", "tier"), _cases())
def test_engine_matches_the_reference(
    network: Network, size: tuple[int, int], batch: int, tier: str
) -> None:
    reference = _references(network, size)
    exact, single = reference.exact[:batch], reference.single[:batch]
    unavoidable = _relative_error(single, exact)
    if network in ILL_CONDITIONED and unavoidable > MEANINGLESS:
        pytest.skip(f"ill-conditioned: PyTorch's own float32 error is {unavoidable:.1e}")

    model = compile_state(reference.state, network.depth, threads=2, isa=tier)
    ours = model.run(reference.images[:batch])

    assert ours.dtype == np.float32
    assert ours.shape == exact.shape == (batch, size[0] // 4, size[1] // 4, 17)
    assert _relative_error(ours, exact) <= max(3e-6, 4 * unavoidable)
    limit = 1e-4
    if network in ILL_CONDITIONED:
        limit = max(limit, 4 * _error_in_spreads(single, exact))
    assert _error_in_spreads(ours, exact) <= limit


def test_subset_covers_every_axis() -> None:
    assert {network.depth for network, _ in SUBSET} == set(DEPTHS)
    assert {network.attention for network, _ in SUBSET} == set(ATTENTIONS)
    assert {(n.depth, n.attention) for n, _ in SUBSET} == set(itertools.product(DEPTHS, ATTENTIONS))
    assert {network.init for network, _ in SUBSET} == set(INITS)
    assert {size for _, size in SUBSET} == set(SIZES)


@pytest.mark.parametrize("joints", [1, 14, 16])
def test_any_number_of_joints(joints: int) -> None:
    network = Network(50, "gc")
    state = random_state(network, joints=joints, seed=joints)
    images = random_images(1, 64, 48, seed=joints)
    exact = lpn(state, images, network.depth, network.attention)
    single = run_torch(network, state, images, "float32")

    ours = compile_state(state, network.depth).run(images)

    assert ours.shape == (1, 16, 12, joints)
    assert _relative_error(ours, exact) <= max(3e-6, 4 * _relative_error(single, exact))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_training_model_matches_the_reference(depth: int, attention: str) -> None:
    network = Network(depth, attention, "default")
    state = random_state(network, seed=depth)
    images = random_images(2, 96, 64, seed=depth)
    exact = lpn(state, images, depth, attention)

    double = run_torch(network, state, images, "float64")
    single = run_torch(network, state, images, "float32")

    # The same sums in two orders: float64 rounds 2^29 times finer than float32 does.
    assert double.shape == exact.shape == (2, 24, 16, 17)
    assert _relative_error(single, exact) <= 3e-6
    assert _relative_error(double, exact) <= 3e-6 / 2**29 * 8
