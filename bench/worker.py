"""The process that one engine runs in: it does what rounds.Worker asks over a pipe.

A task is anything with ``run()``, which is timed, and ``answer()``, which is checked.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

# A stream stops here whatever it was asked for.
MAX_RUNS = 5000


class Task(Protocol):
    """What a process measures."""

    def run(self) -> object:
        """The work that is timed."""

    def answer(self) -> Any:
        """What one run computes, in the form that all engines agree on."""


def resolve(path: str) -> Callable[..., Any]:
    """The function ``module:name``."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def time_stream(task: Task, runs: int, seconds: float, warm_up_s: float) -> list[float]:
    """Seconds of consecutive single runs.

    Args:
        task: what is run.
        runs: at least so many are timed.
        seconds: and for so long.
        warm_up_s: untimed runs before, at least three: threads wake up, caches fill.
    """
    clock = time.perf_counter
    begin = clock()
    done = 0
    while done < 3 or clock() - begin < warm_up_s:
        task.run()
        done += 1
    durations: list[float] = []
    begin = clock()
    while len(durations) < runs or clock() - begin < seconds:
        start = clock()
        task.run()
        durations.append(clock() - start)
        if len(durations) == MAX_RUNS:
            break
    return durations


def serve(connection: Connection) -> None:
    """Answers requests (verb, arguments) with (True, result) or (False, error) until the end."""
    task: Task | None = None
    while True:
        try:
            verb, arguments = connection.recv()
        except EOFError:
            return
        try:
            result: object = None
            if verb == "call":
                path, keywords = arguments
                result = resolve(path)(**keywords)
            elif verb == "start":
                path, keywords = arguments
                task = resolve(path)(**keywords)
            elif task is None:
                raise RuntimeError("no task was started")
            elif verb == "answer":
                result = task.answer()
            else:
                result = time_stream(task, *arguments)
        except Exception as error:
            connection.send((False, f"{type(error).__name__}: {error}"))
        else:
            connection.send((True, result))


if __name__ == "__main__":
    # Engines print to stdout: the pipe is a descriptor of its own.
    serve(Connection(int(sys.argv[1])))
