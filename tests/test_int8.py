"""int8: the bits of an independent integer reference, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
import reference_int8
from lpn_core import _core
from networks import Network
from quantized_networks import PIXELS, QuantizedNetwork, random_bytes, run_bytes

TIERS = _core.supported_isas()
NETWORKS = [Network(50, "none"), Network(101, "none"), Network(50, "gc"), Network(50, "se")]


def _label(network: Network) -> str:
    return network.label


@pytest.mark.parametrize("network", NETWORKS[:2], ids=_label)
def test_bits_are_those_of_an_integer_reference(network: Network) -> None:
    quantized = QuantizedNetwork(network, seed=1)
    image = random_bytes(1, 64, 48, seed=2)
    expected = reference_int8.run(
        quantized.graph, quantized.weights, quantized.scales, PIXELS, image[0]
    )
    assert expected.std() > 0
    for tier in TIERS:
        heatmaps = run_bytes(quantized.compile(isa=tier), image)
        assert heatmaps[0].tobytes() == expected.tobytes(), tier


@pytest.mark.parametrize("network", NETWORKS, ids=_label)
def test_bits_do_not_depend_on_the_instruction_set(network: Network) -> None:
    quantized = QuantizedNetwork(network, seed=3)
    for height, width in ((96, 64), (80, 112)):
        images = random_bytes(1, height, width, seed=4)
        expected = run_bytes(quantized.compile(isa=TIERS[0]), images)
        assert np.isfinite(expected).all()
        assert expected.std() > 0
        for tier in TIERS[1:]:
            assert run_bytes(quantized.compile(isa=tier), images).tobytes() == expected.tobytes()


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


@pytest.mark.parametrize("network", NETWORKS[2:], ids=_label)
def test_attention_is_that_of_the_integer_reference(network: Network) -> None:
    """Its float32 sums move a byte by one here and there: nothing beside what bytes cost."""
    quantized = QuantizedNetwork(network, seed=7)
    image = random_bytes(1, 64, 48, seed=7)
    expected = reference_int8.run(
        quantized.graph, quantized.weights, quantized.scales, PIXELS, image[0]
    )
    heatmaps = run_bytes(quantized.compile(), image)[0]
    floats = run_bytes(quantized.compile(precision="fp32"), image)[0]
    cost = np.sqrt(((floats - expected) ** 2).mean())
    assert np.sqrt(((heatmaps - expected) ** 2).mean()) < 0.1 * cost


@pytest.mark.parametrize("network", NETWORKS[:3], ids=_label)
def test_near_the_float_network(network: Network) -> None:
    """Some 8 bits as bfloat16 has, but for the whole of a map, not for each of its numbers."""
    quantized = QuantizedNetwork(network, seed=7)
    images = random_bytes(1, 96, 64, seed=7)
    exact = run_bytes(quantized.compile(precision="fp32"), images)
    errors = {}
    for precision in ("bf16", "int8"):
        heatmaps = run_bytes(quantized.compile(precision=precision), images)
        errors[precision] = np.sqrt(((heatmaps - exact) ** 2).mean())
    assert 2 * errors["bf16"] < errors["int8"] < 20 * errors["bf16"]


def test_every_product_is_of_integers() -> None:
    quantized = QuantizedNetwork(Network(50, "gc"))
    steps = quantized.compile().steps(256, 192)
    integer = sum(step["flops"] for step in steps if step["precision"] == "int8")
    assert integer > 0.99 * sum(step["flops"] for step in steps)


def test_normalised_floats_are_turned_back_into_bytes() -> None:
    quantized = QuantizedNetwork(Network(50, "gc"))
    images = random_bytes(2, 64, 48, seed=8)
    floats = np.empty(images.shape, np.float32)
    for c, p in enumerate(PIXELS.channel_map):
        floats[..., c] = images[..., p] * PIXELS.scale[c] + PIXELS.shift[c]
    model = quantized.compile()
    assert model.run(floats).tobytes() == run_bytes(model, images).tobytes()
