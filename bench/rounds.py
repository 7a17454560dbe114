"""Engines in processes of their own, timed in turn, round by round."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
# torch.compile takes its time.
TIMEOUT_S = 300.0
# An engine whose workers spin longer than this after a run is noted as busy.
MAX_PAUSE_S = 1.0
_WINDOW_S = 0.02
_IDLE_SHARE = 0.05
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(RuntimeError):
    """A request failed, or the process is gone."""


class CpuTimes(NamedTuple):
    """Seconds that threads ran, and that they were ready to run but had no CPU."""

    used: float
    waited: float


class Worker:
    """One process, started with its threads limited before it imports anything.

    Attributes:
        name: for messages.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        # Open as long as the worker: close() closes it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        ours, theirs = socket.socketpair()
        environment = dict(os.environ)
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        paths = [str(HERE), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def call(self, path: str, **arguments: object) -> Any:
        """Runs ``module:function(**arguments)`` there and returns what it returns."""
        return self._request("call", (path, arguments))

    def start(self, path: str, **arguments: object) -> None:
        """Makes the task of ``module:function(**arguments)`` the one that is asked from now on."""
        self._request("start", (path, arguments))

    def answer(self) -> Any:
        """The task's answer."""
        return self._request("answer", None)

    def time_stream(self, runs: int, seconds: float, warm_up_s: float) -> list[float]:
        """Seconds of each of the task's consecutive runs; see :func:`worker.time_stream`."""
        durations: list[float] = self._request("time", (runs, seconds, warm_up_s))
        return durations

    def cpu_times(self) -> CpuTimes:
        """What the kernel says of its threads so far, all together."""
        used = waited = 0
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            # A thread may end while we look.
            try:
                fields = (thread / "schedstat").read_text().split()
            except OSError:
                continue
            used, waited = used + int(fields[0]), waited + int(fields[1])
        return CpuTimes(used * 1e-9, waited * 1e-9)

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _request(self, verb: str, arguments: object) -> Any:
        try:
            self._connection.send((verb, arguments))
            if not self._connection.poll(TIMEOUT_S):
                self._process.kill()
                raise WorkerError(f"{self.name} did not answer within {TIMEOUT_S:.0f} s")
            ok, result = self._connection.recv()
        except (EOFError, OSError):
            self._process.kill()
            code = self._process.wait()
            raise WorkerError(f"{self.name} ended with {code}: {self._log_tail()}") from None
        if not ok:
            raise WorkerError(f"{self.name}: {result}")
        return result

    def _log_tail(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


@dataclass
class Samples:
    """Seconds of one engine's runs.

    Attributes:
        seconds: of every run, in order.
        note: what a reader of the table has to know.
        used_s: CPU time of all its turns.
        waited_s: time in which its threads had to wait for a CPU.
        wall_s: duration of all its turns.
    """

    seconds: list[float] = field(default_factory=list)
    note: str = ""
    used_s: float = 0.0
    waited_s: float = 0.0
    wall_s: float = 0.0

    @property
    def cpus(self) -> float:
        """CPUs that were busy on average: about the number of threads, and never more."""
        return self.used_s / self.wall_s

    @property
    def waited(self) -> float:
        """Share of its threads' time in which something else had the CPU they were ready for."""
        return self.waited_s / (self.used_s + self.waited_s)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float((high - low) / self.median)


def wait_idle(workers: Sequence[Worker]) -> Worker | None:
    """Waits until no process uses the CPU; the one that still does after a second, or None."""
    end = time.monotonic() + MAX_PAUSE_S
    busy: Worker | None = None
    while time.monotonic() < end:
        before = [worker.cpu_times().used for worker in workers]
        start = time.monotonic()
        time.sleep(_WINDOW_S)
        window = time.monotonic() - start
        used = [w.cpu_times().used - was for w, was in zip(workers, before, strict=True)]
        busy = workers[int(np.argmax(used))]
        if max(used) < _IDLE_SHARE * window:
            return None
    return busy


def interleave(
    workers: Mapping[str, Worker],
    rounds: int,
    *,
    runs: int = 5,
    seconds: float = 0.0,
    warm_up_s: float = 0.03,
    probe: Worker | None = None,
) -> tuple[dict[str, Samples], list[Any]]:
    """Times every worker's task once a round, one after the other, in an order that rotates.

    Before each turn all processes have parked their threads, so that nobody runs on another's
    time. A worker that fails drops out with a note.

    Args:
        workers: by name; each has started its task.
        rounds: turns of each.
        runs: timed in one turn, at least.
        seconds: of timed runs in one turn, at least.
        warm_up_s: of untimed ones before them.
        probe: a worker whose answer is asked for at the end of each round.

    Returns:
        The samples by name, and the probe's answers.
    """
    samples = {name: Samples() for name in workers}
    answers: list[Any] = []
    left = dict(workers)
    for turn in range(rounds):
        names = list(left)
        shift = turn % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            busy = wait_idle(list(left.values()))
            if busy is not None:
                for other, worker in left.items():
                    if worker is busy:
                        samples[other].note = "keeps the CPU busy when idle"
            own = samples[name]
            before, start = left[name].cpu_times(), time.monotonic()
            try:
                own.seconds += left[name].time_stream(runs, seconds, warm_up_s)
                own.wall_s += time.monotonic() - start
                after = left[name].cpu_times()
                own.used_s += after.used - before.used
                own.waited_s += after.waited - before.waited
            except WorkerError as error:
                samples[name] = Samples(note=str(error))
                del left[name]
        if probe is not None:
            wait_idle(list(left.values()))
            answers.append(probe.answer())
    return samples, answers
