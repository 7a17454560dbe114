"""One crop, one answer: the same bits for any thread count, batch position and vector width."""

from __future__ import annotations

import itertools

import lpn_core._core as _core
import numpy as np
import pytest
from networks import Network, compile_state, random_images, random_state

NETWORKS = [Network(*axes) for axes in itertools.product((50, 101, 152), ("gc", "se", "none"))]
TIERS = _core.supported_isas()
BATCH = 5


def _bits(x: np.ndarray) -> bytes:
    return np.ascontiguousarray(x).tobytes()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.label)
def test_bits_do_not_depend_on_threads_or_batch(network: Network, tier: str) -> None:
    state = random_state(network, seed=1)
    # A full-size input where it is cheap, so that steps are cut as in production.
    height, width = (256, 192) if network.depth == 50 and tier != "scalar" else (96, 64)
    images = random_images(BATCH, height, width, seed=2)

    expected = compile_state(state, network.depth, threads=1, isa=tier).run(images)

    assert np.isfinite(expected).all()
    for threads in (1, 2, 3):
        model = compile_state(state, network.depth, threads=threads, isa=tier)
        assert model.threads == threads
        assert _bits(model.run(images)) == _bits(expected), f"{threads} threads, whole batch"
        for index in range(BATCH):
            alone = model.run(images[index : index + 1])
            assert _bits(alone) == _bits(expected[index : index + 1]), (
                f"{threads} threads, image {index} alone"
            )
        pair = model.run(images[1:3])
        assert _bits(pair) == _bits(expected[1:3]), f"{threads} threads, a smaller batch"


@pytest.mark.parametrize("tier", TIERS)
def test_bits_do_not_depend_on_earlier_runs(tier: str) -> None:
    network = Network(50, "gc")
    model = compile_state(random_state(network), network.depth, threads=2, isa=tier)
    images = random_images(2, 64, 48, seed=3)
    expected = _bits(model.run(images))

    model.run(random_images(3, 96, 64, seed=4))
    model.run(np.full((1, 64, 48, 3), np.nan, dtype=np.float32))

    assert _bits(model.run(images)) == expected


@pytest.mark.skipif(
    not {"avx2", "avx512"} <= set(TIERS), reason="this machine has no avx2 and avx512"
)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.label)
def test_avx2_and_avx512_agree(network: Network) -> None:
    state = random_state(network, seed=5)
    for height, width in ((256, 192), (224, 160), (96, 64)):
        images = random_images(2, height, width, seed=6)
        narrow = compile_state(state, network.depth, threads=2, isa="avx2").run(images)
        wide = compile_state(state, network.depth, threads=2, isa="avx512").run(images)
        assert _bits(narrow) == _bits(wide), f"{height}x{width}"
