"""Which crops make a batch: whole passes, weights, seeds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lpn_training.sampling import Sampler, Stream, seed_of  # noqa: E402


def test_equal_chances_make_passes() -> None:
    """37 crops, batches of 10: in any 37 draws from a pass's start each crop comes once."""
    chances = torch.ones(40)
    chances[[3, 7, 39]] = 0
    wanted = sorted(set(range(40)) - {3, 7, 39})
    sampler = Sampler(chances, 5)
    assert len(sampler) == 37
    drawn = torch.cat([sampler.choose(step, 10) for step in range(37)]).tolist()
    passes = [drawn[start : start + 37] for start in range(0, 370, 37)]
    assert all(sorted(one) == wanted for one in passes)
    assert len({tuple(one) for one in passes}) == 10


def test_a_batch_may_hold_several_passes() -> None:
    drawn = Sampler(torch.ones(4), 0).choose(2, 11)
    assert drawn.shape == (11,)
    counts = torch.bincount(drawn, minlength=4)
    assert counts.min() >= 2


@pytest.mark.parametrize("chances", [torch.ones(50), torch.linspace(1, 2, 50)])
def test_a_step_is_a_function_of_seed_and_step(chances: torch.Tensor) -> None:
    forward, again, other = (Sampler(chances, seed) for seed in (1, 1, 2))
    steps = [forward.choose(step, 8) for step in range(20)]
    for step in (19, 3, 3, 12):
        assert torch.equal(again.choose(step, 8), steps[step])
    assert any(not torch.equal(other.choose(step, 8), steps[step]) for step in range(3))


def test_weights_are_frequencies() -> None:
    sampler = Sampler(torch.tensor([1.0, 0.0, 3.0, 4.0]), 0)
    drawn = torch.cat([sampler.choose(step, 400) for step in range(100)])
    share = torch.bincount(drawn, minlength=4) / len(drawn)
    # Three standard deviations of 40,000 draws.
    assert (share - torch.tensor([0.125, 0.0, 0.375, 0.5])).abs().max() < 0.0075


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 3 crops can be drawn"):
        Sampler(torch.zeros(3), 0)


def test_seeds_differ_in_the_bits_that_count() -> None:
    """PyTorch's CPU generator only takes the lower 32."""
    seeds = {
        seed_of(seed, stream, step) & 0xFFFFFFFF
        for seed in range(10)
        for stream in Stream
        for step in range(50)
    }
    assert len(seeds) == 10 * len(Stream) * 50
