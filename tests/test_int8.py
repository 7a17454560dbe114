"""int8: the bits of an independent integer reference, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from lpn_core import _core
from networks import Network
from quantized_networks import PIXELS, QuantizedNetwork, random_bytes, run_bytes

TIERS = _core.supported_isas()
NETWORKS = [Network(50, "none"), Network(101, "none"), Network(50, "gc"), Network(50, "se")]


def _label(network: Network) -> str:
    return network.label


@pytest.mark.parametrize("network", NETWORKS[2:], ids=_label)
@pytest.mark.parametrize("tier", TIERS[1:])
def test_bits_do_not_depend_on_threads_or_batch(tier: str, network: Network) -> None:
    quantized = QuantizedNetwork(network, seed=5)
    images = random_bytes(3, 96, 64, seed=6)
    expected = run_bytes(quantized.compile(isa=tier), images)
    for threads in (2, 3, 8):
        model = quantized.compile(isa=tier, threads=threads)
        assert run_bytes(model, images).tobytes() == expected.tobytes(), f"{threads} threads"
        for index in range(len(images)):
            alone = run_bytes(model, images[index : index + 1])
            assert alone.tobytes() == expected[index : index + 1].tobytes(), f"image {index}"


@pytest.mark.parametrize("network", NETWORKS, ids=_label)
def test_near_the_float_network(network: Network) -> None:
    """Steps of 1/255 of a map's range, and of 1/127 of a weight's, over some 50 layers."""
    quantized = QuantizedNetwork(network, seed=7)
    images = random_bytes(1, 96, 64, seed=7)
    exact = run_bytes(quantized.compile(precision="fp32"), images)
    heatmaps = run_bytes(quantized.compile(), images)
    error = np.sqrt(((heatmaps - exact) ** 2).mean()) / exact.std()
    assert 1e-4 < error < 0.3


def test_normalised_floats_are_turned_back_into_bytes() -> None:
    quantized = QuantizedNetwork(Network(50, "gc"))
    images = random_bytes(2, 64, 48, seed=8)
    floats = np.empty(images.shape, np.float32)
    for c, p in enumerate(PIXELS.channel_map):
        floats[..., c] = images[..., p] * PIXELS.scale[c] + PIXELS.shift[c]
    model = quantized.compile()
    assert model.run(floats).tobytes() == run_bytes(model, images).tobytes()
