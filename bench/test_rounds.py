"""The harness itself: one bad engine is named, and does not break the others."""

from __future__ import annotations

import os
import time

import networks
import pytest
from rounds import Worker, WorkerError, interleave, wait_idle


class Sleep:
    """A task of a known duration."""

    def __init__(self, seconds: float, runs_left: int = 1_000_000) -> None:
        self._seconds, self._runs_left = seconds, runs_left

    def run(self) -> None:
        if self._runs_left == 0:
            os.abort()
        self._runs_left -= 1
        time.sleep(self._seconds)

    def answer(self) -> float:
        return self._seconds


def test_an_engine_that_dies_drops_out() -> None:
    workers = {name: Worker(name, threads=1) for name in ("good", "bad")}
    try:
        workers["good"].start("test_rounds:Sleep", seconds=0.002)
        workers["bad"].start("test_rounds:Sleep", seconds=0.002, runs_left=12)
        samples, answers = interleave(workers, 3, runs=4, warm_up_s=0.001, probe=workers["good"])
    finally:
        for worker in workers.values():
            worker.close()
    assert len(samples["good"].seconds) == 3 * 4
    assert min(samples["good"].seconds) >= 0.002
    assert samples["bad"].seconds == []
    assert "bad ended with -6" in samples["bad"].note
    assert answers == [0.002] * 3


def test_an_error_is_reported_and_the_process_goes_on() -> None:
    worker = Worker("engine", threads=1)
    try:
        with pytest.raises(WorkerError, match=r"engine: ModuleNotFoundError: .*no_such"):
            worker.call("no_such:function")
        assert worker.call("os:getenv", key="OMP_NUM_THREADS") == "1"
    finally:
        worker.close()


def test_waits_for_processes_that_still_work() -> None:
    idle, busy = Worker("idle", threads=1), Worker("busy", threads=1)
    try:
        for worker in (idle, busy):
            worker.call("os:getpid")
        assert wait_idle([idle, busy]) is None
        # A daemon thread that spins on after the call has returned.
        busy.call("test_rounds:spin_for_ever")
        assert wait_idle([idle, busy]) is busy
    finally:
        idle.close()
        busy.close()


def spin_for_ever() -> None:
    """Leaves a thread behind that never parks."""
    import threading

    def spin() -> None:
        while True:
            pass

    threading.Thread(target=spin, daemon=True).start()


@pytest.mark.parametrize(
    ("name", "gflops"), [("lpn50", 2.139), ("lpn101", 3.014), ("lpn152", 3.892)]
)
def test_work_of_the_networks(name: str, gflops: float) -> None:
    assert networks.network(name).flops() / 1e9 == pytest.approx(gflops, abs=5e-4)
