"""bf16: near fp32, and the same bits whether the CPU multiplies bfloat16 or it is emulated."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import lpn_core
import numpy as np
import pytest
from helpers import photograph
from lpn_core import Model, _core
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.spec import ModelFile
from networks import Network, compile_state, random_images, random_state
from numpy.typing import NDArray
from reference_network import lpn

TIERS = _core.supported_isas()
# With fma; the scalar tier rounds products before it adds them.
EXACT = [tier for tier in TIERS if tier != "scalar"]
NATIVE = "avx512bf16"
NETWORKS = [Network(50, "gc", "he"), Network(50, "se"), Network(101, "none", "he")]


def _run(state: Any, network: Network, images: NDArray[np.float32], **options: Any) -> Any:
    model = compile_state(state, network.depth, precision="bf16", **options)
    return model.run(images)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.label)
def test_bits_do_not_depend_on_the_instruction_set(network: Network) -> None:
    if len(EXACT) < 2:
        pytest.skip("this machine has one set with fma")
    state = random_state(network, seed=1)
    for height, width in ((256, 192), (96, 64)):
        images = random_images(1, height, width, seed=2)
        expected = _run(state, network, images, isa=EXACT[0])
        assert np.isfinite(expected).all()
        assert expected.std() > 0
        for tier in EXACT[1:]:
            assert _run(state, network, images, isa=tier).tobytes() == expected.tobytes(), tier


@pytest.mark.parametrize("tier", EXACT)
def test_bits_do_not_depend_on_threads_or_batch(tier: str) -> None:
    network = Network(50, "gc", "he")
    state = random_state(network, seed=3)
    images = random_images(3, 96, 64, seed=4)
    expected = _run(state, network, images, isa=tier)
    for threads in (2, 3):
        model = compile_state(state, network.depth, threads=threads, isa=tier, precision="bf16")
        assert model.run(images).tobytes() == expected.tobytes(), f"{threads} threads"
        for index in range(len(images)):
            alone = model.run(images[index : index + 1])
            assert alone.tobytes() == expected[index : index + 1].tobytes(), f"image {index}"


@pytest.mark.parametrize("tier", TIERS)
def test_near_the_exact_network(tier: str) -> None:
    """Each of some 60 roundings to 8 bits moves what follows by 2^-9 of it at most, at random."""
    network = Network(50, "gc", "he")
    state = random_state(network, seed=5)
    images = random_images(1, 96, 64, seed=6)
    exact = lpn(state, images, network.depth, network.attention)
    heatmaps = _run(state, network, images, isa=tier)
    error = np.abs(heatmaps - exact)
    assert heatmaps.dtype == np.float32
    spread = exact.std()
    assert np.sqrt((error**2).mean()) < 60**0.5 * 2**-9 * spread * 2
    assert error.max() > 1e-4 * spread, "fp32 would not be so far off: was it bf16?"


@pytest.mark.parametrize("tier", TIERS)
def test_matrix_products_are_bf16(tier: str) -> None:
    state = random_state(Network(50, "gc"))
    steps = compile_state(state, 50, isa=tier, precision="bf16").steps(256, 192)
    assert sum(step["flops"] for step in steps if "bf16" in step["kernel"]) > 0.99 * sum(
        step["flops"] for step in steps
    )
    plain = compile_state(state, 50, isa=tier).steps(256, 192)
    assert not any("bf16" in step["kernel"] for step in plain)
    assert {step["precision"] for step in plain} == {"fp32"}
    assert sum(step["bytes"] for step in steps) < 0.6 * sum(step["bytes"] for step in plain)


def test_maps_take_half_the_memory() -> None:
    state = random_state(Network(50, "gc"))
    plain, narrow = (
        compile_state(state, 50, precision=precision).arena_bytes(256, 192)
        for precision in ("fp32", "bf16")
    )
    assert narrow == pytest.approx(plain / 2, rel=0.05)


@pytest.mark.parametrize("tier", TIERS)
def test_nan_stays(tier: str) -> None:
    network = Network(50, "gc", "he")
    images = random_images(1, 96, 64, seed=7)
    images[0, 40, 30, 1] = np.nan
    heatmaps = _run(random_state(network, seed=8), network, images, isa=tier)
    assert np.isnan(heatmaps).all(), "attention spreads it everywhere"


@pytest.mark.parametrize("tier", TIERS)
def test_auto_is_bf16_where_the_cpu_has_it(tier: str, tiny: ModelFile) -> None:
    with Model(tiny, isa=tier, precision="auto") as model:
        assert model.precision == ("bf16" if tier == NATIVE else "fp32")


@pytest.mark.parametrize("tier", TIERS)
def test_emulation_is_said(tier: str, tiny: ModelFile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with Model(tiny, isa=tier, precision="bf16") as model:
        assert model.precision == "bf16"
        assert " bf16 " in repr(model)
    assert bool(caplog.records) == (tier != NATIVE)


def test_poses_are_near_those_of_fp32() -> None:
    photo = photograph()
    boxes = [[20, 10, 90, 100], [60, 30, 50, 80]]
    found = [
        lpn_core.load("lpn50", precision=precision)(photo, boxes, order="rgb")
        for precision in ("fp32", "bf16")
    ]
    drift = np.abs(found[0].keypoints - found[1].keypoints)
    assert 0 < np.median(drift) < 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_the_bundled_model_passes_its_self_test(precision: str) -> None:
    pytest.importorskip("click")
    from click.testing import CliRunner
    from lpn_core.cli import main

    result = CliRunner().invoke(main, ["verify", "lpn50", "--precision", precision, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["error_px"] <= document["limit_px"] <= (0.05 if precision == "fp32" else 2)


def test_a_network_without_such_kernels_stays_fp32() -> None:
    """A graph's ends are float32, which only some operations read and write beside bfloat16."""
    pool = NodeSpec("max_pool2d", "pool", ("image",), {"kernel": 3, "stride": 1, "padding": 1})
    spec = GraphSpec("image", 3, (pool,), ("pool",))
    (step,) = spec.compile({}, threads=1, isa=None, precision="bf16").steps(8, 8)
    assert step["kernel"].startswith("max_pool_f32")


def test_pickling_keeps_the_precision(tiny: ModelFile) -> None:
    with Model(tiny, precision="bf16") as model:
        crops = random_images(1, 64, 48)
        copy = pickle.loads(pickle.dumps(model))
        assert copy.precision == "bf16"
        np.testing.assert_array_equal(copy(crops), model(crops))


def test_unknown_precision(tiny: ModelFile) -> None:
    with pytest.raises(
        ValueError, match=r"precision is 'int4'; wanted 'fp32' or 'bf16' or 'int8' or 'auto'"
    ):
        Model(tiny, precision="int4")
