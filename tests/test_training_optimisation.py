"""The optimiser's groups, and moments that earlier versions grouped otherwise."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from lpn_training.config import TrainConfig  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.optimisation import (  # noqa: E402
    MuonWithAdamW,
    Optimiser,
    make_optimiser,
    restore_optimiser,
)
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


def step(model: LPN, optimiser: Optimiser, seed: int) -> None:
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


def new_network() -> LPN:
    torch.manual_seed(0)
    return LPN(50, "gc").to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_muon_takes_every_parameter_once_and_only_matrices() -> None:
    network = new_network()
    optimiser = make_optimiser(network, TrainConfig(optimiser="muon"))
    assert isinstance(optimiser, MuonWithAdamW)
    places = [p.data_ptr() for group in optimiser.param_groups for p in group["params"]]
    assert sorted(places) == sorted(p.data_ptr() for p in network.parameters())
    matrices = set(optimiser.matrices)
    names = {n.removesuffix(".weight") for n, p in network.named_parameters() if p in matrices}
    assert {"layer1.0.conv1", "layer4.0.downsample.0", "deconv_layers.3"} < names
    assert not {"conv1", "layer1.0.conv2", "final_layer"} & names
    assert not any(".conv_mask" in name for name in names)


def test_a_step_of_muon_is_orthogonal_and_as_long_as_the_rate_says() -> None:
    """Of a gradient of any length: singular values near each other, 0.2 x rate root mean square."""
    network = new_network()
    optimiser = make_optimiser(network, TrainConfig(optimiser="muon", learning_rate=0.01))
    weight = network.layer3[1].conv1.weight
    before = weight.detach().clone()
    weight.grad = 1e-6 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    optimiser.step()
    change = (weight.detach() - before).flatten(1).double()
    # Newton-Schulz as published brings the singular values to 0.5 .. 1.5; those of a random
    # gradient that are near 0 stay lower.
    values = torch.linalg.svdvals(change) / (0.01 * 0.2 * 256**0.5)
    assert values.max() < 1.5
    assert values[: len(values) * 9 // 10].min() > 0.5
    assert change.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon"])
def test_state_brings_an_optimiser_back(kind: str) -> None:
    config = TrainConfig(optimiser=kind, learning_rate=1e-3, weight_decay=0.01)
    with one_thread():
        one, two = new_network(), new_network()
        first, second = make_optimiser(one, config), make_optimiser(two, config)
        for number in (0, 1):
            step(one, first, number)
        two.load_state_dict(one.state_dict())
        restore_optimiser(second, two, copy.deepcopy(first.state_dict()))
        step(one, first, 2)
        step(two, second, 2)
    for (name, left), right in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(left, right), name


@pytest.mark.parametrize(("stored", "configured"), [("adam", "muon"), ("muon", "adamw")])
def test_the_state_of_another_kind_of_optimiser_is_refused(stored: str, configured: str) -> None:
    network = new_network()
    state = make_optimiser(network, TrainConfig(optimiser=stored)).state_dict()
    optimiser = make_optimiser(network, TrainConfig(optimiser=configured))
    with pytest.raises(ValueError, match=f"{configured}; its weights can start a new run"):
        restore_optimiser(optimiser, network, state)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.optimiser is 'sgd'; it must be one of .*'muon'"):
        make_optimiser(new_network(), TrainConfig(optimiser="sgd"))
