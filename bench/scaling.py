"""How long a network would take on more threads than the machine has cores.

Chunk times of one thread, handed out as ``base/thread_pool.cc`` and ``engine/run/run.cc`` do. What
the threads do to each other's caches, memory and clock is not in it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from lpn_core import _core
from networks import Network

# Steps of fma_peak: two microseconds, and a third of one.
LONG, SHORT = 250, 40
MANY = 1000


@dataclass(frozen=True)
class PoolCosts:
    """What the pool takes, in seconds.

    Attributes:
        hand_out: taking a chunk of a worker's own.
        steal: looking for one that others have left.
        loop: opening a loop for one worker and waiting until it has left.
        worker: each further worker, who joins and leaves through the same word.
    """

    hand_out: float
    steal: float
    loop: float
    worker: float


@dataclass(frozen=True)
class Run:
    """A simulated run; all but the first in seconds of all threads together.

    Attributes:
        seconds: from its begin to its end.
        work: of the chunks.
        alone: that others wait for steps of one chunk.
        pool: taken by the pool.
    """

    seconds: float
    work: float
    alone: float
    pool: float

    def uneven(self, threads: int) -> float:
        """Seconds that threads wait for the last chunks of a step."""
        return threads * self.seconds - self.work - self.alone - self.pool


def measure_costs(seconds: float) -> PoolCosts:
    """Of this machine's pool, with two threads.

    Opening a loop, joining, leaving and noticing that move a cache line from core to core, each as
    another worker's chunks do.
    """

    def beyond(chunks: int, steps: int) -> float:
        alone = _core.loop_seconds(1, chunks, steps, seconds)
        return _core.loop_seconds(2, chunks, steps, seconds) - alone / 2

    hand_out = max(0.0, beyond(MANY, SHORT) / (MANY / 2))
    loop = max(0.0, beyond(2, LONG) - hand_out)
    return PoolCosts(hand_out, loop / 4, loop, loop / 2)


def measure_chunks(network: Network, rounds: int) -> list[list[float]]:
    """Seconds of each chunk of each step on one thread, medians of the rounds."""
    model = network.graph.compile(network.weights, threads=1, isa="auto")
    images = network.images(1)
    model.run(images)
    times = np.median(np.diff(model.profile(images, rounds, by_chunk=True)), axis=0)
    counts = [step["chunks"] for step in model.steps(network.height, network.width)]
    return [part.tolist() for part in np.split(times, np.cumsum(counts)[:-1])]


def simulate_loop(chunks: Sequence[float], threads: int, costs: PoolCosts) -> Run:
    """One parallel loop: a worker takes its own stretch, then what the others have left."""
    work = sum(chunks)
    if threads == 1 or len(chunks) <= 1:
        return Run(work, work, (threads - 1) * work, 0.0)
    bounds = [len(chunks) * worker // threads for worker in range(threads + 1)]
    left = [deque(chunks[begin:end]) for begin, end in pairwise(bounds)]
    free = [(0.0, False, worker) for worker in range(threads)]
    end = taking = 0.0
    while free:
        now, looked, worker = heapq.heappop(free)
        source = left[worker]
        if not source:
            if not looked:
                heapq.heappush(free, (now + costs.steal, True, worker))
                continue
            others = (left[(worker + i) % threads] for i in range(threads))
            source = next(filter(None, others), source)
        if source:
            taking += costs.steal if looked else costs.hand_out
            now += source.popleft() if looked else costs.hand_out + source.popleft()
            end = max(end, now)
            heapq.heappush(free, (now, False, worker))
    around = costs.loop + (threads - 2) * costs.worker
    return Run(end + around, work, 0.0, threads * around + taking)


def simulate(steps: Sequence[Sequence[float]], batch: int, threads: int, costs: PoolCosts) -> Run:
    """A batch: multiples of the threads one image each, those left over step by step."""
    left = batch % threads
    image = sum(map(sum, steps))
    runs = []
    if batch > left:
        runs.append(simulate_loop([image] * (batch - left), threads, costs))
    if left:
        side_by_side = ([time for time in step for _ in range(left)] for step in steps)
        runs += [simulate_loop(chunks, threads, costs) for chunks in side_by_side]
    return Run(
        sum(run.seconds for run in runs),
        sum(run.work for run in runs),
        sum(run.alone for run in runs),
        sum(run.pool for run in runs),
    )
