"""Pools of worker processes that end with their parent, however it ends."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process


def _begin(own_session: bool) -> None:
    if own_session:
        os.setsid()
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    # Without this a pool outlives a parent that was killed, waiting for work for ever.
    threading.Thread(target=watch, daemon=True).start()


def make_pool(workers: int, *, own_session: bool = False) -> ProcessPoolExecutor:
    """A pool of fresh processes: a forked child of one with CUDA or OpenMP threads can hang.

    Args:
        workers: How many.
        own_session: Signals to this process's group, such as torchrun's SIGTERM, do not reach
            them: for workers that the end of a run still waits for.
    """
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(own_session,)
    )


def processes_here() -> int:
    """How many processes of one run share this machine, as torchrun says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def worker_count(workers: int) -> int:
    """-1 means this process's share of the cores it may use; other numbers mean themselves."""
    cores = len(os.sched_getaffinity(0)) // processes_here()
    return max(1, cores) if workers < 0 else workers
