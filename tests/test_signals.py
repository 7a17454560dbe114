"""Signals during a long call: handlers run meanwhile, and what they raise ends the call."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core._core import CompiledModel as Model
from lpn_core.convert.architectures.lpn import build_lpn
from numpy.typing import NDArray

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a POSIX timer")

SIZE = (64, 48)
HANDLED = 3


class InterruptedRunError(Exception):
    """What the handler raises."""


@pytest.fixture(scope="module")
def model() -> Model:
    spec, weights = build_lpn(lpn_state_dict(50, "gc"), 50)
    return spec.compile(weights, threads=2, isa=None)


def run_until_interrupted(call: Callable[[], object], handle: Callable[[], object]) -> None:
    """Makes a call while a timer fires and fires again; the third time, its handler raises.

    Signals that a call keeps waiting are handled once, after it.
    """
    handled = 0

    def handler(_number: int, _frame: object) -> None:
        nonlocal handled
        handled += 1
        handle()
        if handled == HANDLED:
            raise InterruptedRunError
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(InterruptedRunError):
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# Many seconds of work, of which the third signal leaves a fraction of one.
CALLS: dict[str, Callable[[Model], object]] = {
    "batch": lambda model: model.run(np.zeros((1000, *SIZE, 3), np.float32)),
    "remainder": lambda model: model.run(np.zeros((1, 1024, 1024, 3), np.float32)),
    "profile": lambda model: model.profile(np.zeros((1, *SIZE, 3), np.float32), 10_000),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_handler_ends_a_call_and_may_use_the_model(model: Model, call: str) -> None:
    images = np.random.default_rng(0).standard_normal((3, *SIZE, 3), np.float32)
    expected = model.run(images)
    inside: list[NDArray[np.float32]] = []
    run_until_interrupted(lambda: CALLS[call](model), lambda: inside.append(model.run(images)))
    for heatmaps in (*inside, model.run(images)):
        np.testing.assert_array_equal(heatmaps, expected)
    assert len(inside) == HANDLED


def test_other_threads_leave_signals_to_the_main_thread(model: Model) -> None:
    """A handler that raises does so in the main thread, and a call elsewhere goes on."""
    images = np.random.default_rng(0).standard_normal((200, *SIZE, 3), np.float32)
    results: list[NDArray[np.float32]] = []
    done = threading.Event()

    def work() -> None:
        results.append(model.run(images))
        done.set()

    threading.Thread(target=work).start()
    run_until_interrupted(threading.Event().wait, lambda: None)
    done.wait()
    np.testing.assert_array_equal(results[0][:3], model.run(images[:3]))
