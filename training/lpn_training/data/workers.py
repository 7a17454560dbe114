"""Pools of worker processes that end with their parent, however it ends."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    # Without this a pool outlives a parent that was killed, waiting for work for ever.
    threading.Thread(target=watch, daemon=True).start()


def make_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes: a forked child of one with CUDA or OpenMP threads can hang."""
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )


def worker_count(workers: int) -> int:
    """-1 means one worker per core that this process may use; other numbers mean themselves."""
    return len(os.sched_getaffinity(0)) if workers < 0 else workers
