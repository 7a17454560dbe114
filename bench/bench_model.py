"""Whole networks against onnxruntime, interleaved in one process: every round times both sides.

pytest bench/bench_model.py            # measures
pytest bench/bench_model.py --smoke    # only shows that it runs
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from lpn_core import model_file
from lpn_core.estimator import read_model
from numpy.typing import NDArray
from peers.onnx_graph import to_onnx

# onnxruntime's idle workers spin for tens of milliseconds: a pause keeps them off our cores.
PAUSE_S = 0.1
# Threads that slept may wake on one CPU; the scheduler takes some milliseconds to part them.
WARM_UP_S = 0.05


@pytest.fixture(scope="module")
def network() -> model_file.ModelFile:
    return read_model("lpn50")


def _peer(network: model_file.ModelFile, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    serialised = to_onnx(network.graph, network.weights)
    return onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])


def _warm_up(run: Callable[[], object]) -> None:
    """Waits until nobody else spins, then runs until threads are awake and caches are full."""
    time.sleep(PAUSE_S)
    end = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < end:
        run()


def _timed(run: Callable[[], object]) -> float:
    """Seconds of one run in a steady stream of them."""
    _warm_up(run)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("threads", [1, 2])
def test_lpn50(
    benchmark: Any,
    network: model_file.ModelFile,
    rounds: int,
    comparisons: list[Sequence[str]],
    threads: int,
    batch: int,
) -> None:
    size = (batch, network.input.height, network.input.width, 3)
    images = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    planar = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    ours = network.graph.compile(network.weights, threads=threads, isa=None)
    peer = _peer(network, threads)

    def run_ours() -> NDArray[np.float32]:
        return ours.run(images)

    def run_peer() -> NDArray[np.float32]:
        heatmaps: NDArray[np.float32] = peer.run(None, {network.graph.input_name: planar})[0]
        return heatmaps

    expected = run_peer().transpose(0, 2, 3, 1)
    error = np.abs(run_ours() - expected).max() / np.abs(expected).max()
    assert error <= 1e-5, "the two do not compute the same network"

    peer_seconds: list[float] = []

    def time_peer_then_wake_ours() -> None:
        peer_seconds.append(_timed(run_peer))
        _warm_up(run_ours)

    benchmark.group = f"lpn50 batch {batch} threads {threads}"
    benchmark.pedantic(run_ours, setup=time_peer_then_wake_ours, rounds=rounds)

    mine, theirs = benchmark.stats.stats.median, float(np.median(peer_seconds))
    flops = sum(float(str(step["flops"])) for step in ours.steps(*size[1:3])) * batch
    benchmark.extra_info.update(
        isa=ours.isa,
        gflops=flops / mine / 1e9,
        onnxruntime=onnxruntime.__version__,
        onnxruntime_median_s=theirs,
    )
    comparisons.append(
        (
            f"lpn50 {ours.isa}, batch {batch}, {threads} thread{'s' * (threads > 1)}",
            f"{mine * 1e3:.2f} ms",
            f"{theirs * 1e3:.2f} ms",
            f"{theirs / mine:.2f}x",
        )
    )
