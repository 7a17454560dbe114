"""The optimiser's groups, and moments that earlier versions grouped otherwise."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from lpn_training.config import TrainConfig  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.optimisation import make_optimiser, restore_optimiser  # noqa: E402
from training_runs import one_thread  # noqa: E402


@pytest.mark.parametrize("attention", ["gc", "se", None])
def test_weight_decay_spares_biases_and_every_normalisation(attention: str | None) -> None:
    """By the official names: a normalisation's are bn*, downsample.1 and the like."""
    model = LPN(50, attention)
    decayed, spared = make_optimiser(model, TrainConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in spared["params"]}
    norms = (".bn1.", ".bn2.", ".bn3.", ".downsample.1.", ".att.channel_add_conv.1.")
    heads = tuple(f"deconv_layers.{index}." for index in (1, 4, 7, 10))
    expected = {
        name
        for name in names.values()
        if name.endswith(".bias")
        or name.startswith(("bn1.", *heads))
        or any(part in name for part in norms)
    }
    assert found == expected
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def step(model: LPN, optimiser: torch.optim.Optimizer, seed: int) -> None:
    for index, parameter in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(1000 * seed + index)
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimiser.step()


def test_moments_of_earlier_versions_are_taken_over() -> None:
    """Their first group was all parameters of two and more axes."""
    with one_thread():
        old_model = LPN(50, "gc")
        parameters = list(old_model.parameters())
        old = torch.optim.Adam([
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.5},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ])  # fmt: skip
        step(old_model, old, 0)
        model = copy.deepcopy(old_model)
        optimiser = make_optimiser(model, TrainConfig())
        restore_optimiser(optimiser, model, copy.deepcopy(old.state_dict()))
        for group in old.param_groups:
            group["weight_decay"] = 0.0
        for number in (1, 2):
            step(old_model, old, number)
            step(model, optimiser, number)
        expected = old_model.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
        # Settings are the configuration's, not the checkpoint's.
        assert [group["weight_decay"] for group in optimiser.param_groups] == [0.0, 0.0]
