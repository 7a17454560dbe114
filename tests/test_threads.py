"""One model and many threads, forks and pickles.

``LPN_STRESS_SECONDS`` sets how long the sixteen threads run (2 by default).
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import lpn_core._core as _core
import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core import Model
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model_file import ModelFile
from numpy.typing import NDArray

SIZE = (64, 48)
THREADS = 16


@pytest.fixture(scope="module")
def model() -> _core.CompiledModel:
    return compiled(threads=2)


@pytest.fixture(scope="module")
def batches() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Batches of one to four images and their heatmaps from a model of one thread."""
    generator = np.random.default_rng(4)
    single = compiled(threads=1)
    images = [generator.standard_normal((n, *SIZE, 3), dtype=np.float32) for n in (1, 2, 3, 4)]
    return [(x, single.run(x)) for x in images]


def compiled(threads: int) -> _core.CompiledModel:
    spec, weights = build_lpn(lpn_state_dict(50, "gc"), 50)
    return spec.compile(weights, threads=threads, isa=None)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_sixteen_threads_agree_and_memory_is_flat(
    model: _core.CompiledModel, batches: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> None:
    seconds = float(os.environ.get("LPN_STRESS_SECONDS", "2"))
    errors: list[str] = []
    warm = threading.Barrier(THREADS + 1)
    end = [0.0]
    runs = [0] * THREADS

    def work(which: int) -> None:
        for index in range(4):
            check(which, index)
        warm.wait()
        warm.wait()
        while time.monotonic() < end[0] and not errors:
            check(which, runs[which])
            runs[which] += 1

    def check(which: int, index: int) -> None:
        x, expected = batches[(which + index) % len(batches)]
        try:
            if not np.array_equal(model.run(x), expected):
                errors.append(f"thread {which}, run {index}: other bits")
        except Exception as error:
            errors.append(f"thread {which}, run {index}: {error!r}")

    threads = [threading.Thread(target=work, args=(which,)) for which in range(THREADS)]
    for thread in threads:
        thread.start()
    warm.wait()
    before = resident_bytes()
    end[0] = time.monotonic() + seconds
    warm.wait()
    for thread in threads:
        thread.join()

    assert not errors
    assert min(runs) > 0
    # More threads than while warming up may meet in the model, and need a workspace; no more.
    allowed = THREADS * (model.arena_bytes(*SIZE) + (1 << 20))
    assert resident_bytes() - before < allowed
    model.release_workspaces()


@pytest.mark.parametrize("question", ["steps", "arena_bytes"])
def test_other_threads_run_while_a_plan_is_made(question: str) -> None:
    """Which they cannot while the GIL is held, for it is given up by force only once a day."""
    spec, weights = build_lpn(lpn_state_dict(50, "gc"), 50)
    asked, answered = threading.Event(), threading.Event()
    ran: list[bool] = []

    def work() -> None:
        asked.wait()
        ran.append(not answered.is_set())

    interval = sys.getswitchinterval()
    # A loaded machine may not run the other thread in time; some time it does.
    while not any(ran) and len(ran) < 50:
        fresh = spec.compile(weights, threads=1, isa=None)
        other = threading.Thread(target=work)
        other.start()
        sys.setswitchinterval(86_400)
        try:
            asked.set()
            getattr(fresh, question)(*SIZE)
            answered.set()
        finally:
            sys.setswitchinterval(interval)
        other.join()
        asked.clear()
        answered.clear()
    assert any(ran)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_runs_the_model(
    model: _core.CompiledModel, batches: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> None:
    x, expected = batches[-1]
    model.run(x)
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            model.run(x)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        for _ in range(3):
            assert exit_code_of_child(model, x, expected) == 0
    finally:
        stop.set()
        busy.join()
    np.testing.assert_array_equal(model.run(x), expected)


def exit_code_of_child(model: Any, x: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork with threads; that it works is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        import signal

        signal.alarm(60)  # a deadlock becomes a failure
        code = 1
        try:
            code = 0 if np.array_equal(model.run(x), expected) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_pickled_model_gives_the_same_bits(tiny: ModelFile) -> None:
    model = Model(tiny, threads=2)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), np.uint8)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.threads == model.threads
    np.testing.assert_array_equal(copy(crops), model(crops))
