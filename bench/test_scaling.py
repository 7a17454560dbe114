"""The simulated pool, against times worked out by hand."""

from __future__ import annotations

import pytest
from scaling import PoolCosts, Run, simulate, simulate_loop

FREE = PoolCosts(0, 0, 0, 0)
COSTS = PoolCosts(hand_out=0.5, steal=1, loop=0.25, worker=0.125)


@pytest.mark.parametrize(
    ("chunks", "threads", "seconds"),
    [
        ([1, 1, 1, 1], 2, 2),
        ([1, 1, 1], 2, 2),
        ([3, 1, 1, 1], 2, 3),
        # In order: the long one begins when a thread is free again, after 1.
        ([1, 1, 3], 2, 4),
        ([2, 1], 8, 2),
        ([1, 2], 1, 3),
    ],
)
def test_loop_without_costs(chunks: list[float], threads: int, seconds: float) -> None:
    assert simulate_loop(chunks, threads, FREE).seconds == seconds


def test_workers_take_their_own_chunks_first() -> None:
    # One and two of their own, taken at 0.5 and done at 1.5; the third is taken at 2, done at 3,
    # before the first worker has looked for it.
    assert simulate_loop([1, 1, 1], 2, COSTS) == Run(3.25, 3, 0, 2 * 0.25 + 3 * 0.5)
    # Of four threads three have one.
    assert simulate_loop([1, 1, 1], 4, COSTS) == Run(2.0, 3, 0, 4 * 0.5 + 3 * 0.5)


def test_workers_take_what_others_have_left() -> None:
    # The first is done with its two at 3 and finds the last at 4; the second is at work until 9.5.
    assert simulate_loop([1, 1, 9, 1], 2, COSTS) == Run(9.75, 12, 0, 2 * 0.25 + 3 * 0.5 + 1)


def test_a_single_chunk_costs_the_pool_nothing() -> None:
    assert simulate_loop([2], 4, COSTS) == Run(2, 2, 6, 0)
    assert simulate_loop([2, 3], 1, COSTS) == Run(5, 5, 0, 0)


def test_images_that_are_left_over_run_side_by_side() -> None:
    steps = [[1, 1, 1], [2]]
    # Two images at once, 5 each; of the third, 2 and then 2.
    assert simulate(steps, 3, 2, FREE).seconds == 5 + 2 + 2
    # Six chunks of 1 and two of 2 on four threads.
    run = simulate(steps, 2, 4, FREE)
    assert run == Run(2 + 2, 10, 0, 0)
    assert run.uneven(4) == 4 * 4 - 10
    assert simulate(steps, 4, 1, FREE).seconds == 20
