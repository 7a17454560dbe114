"""The optimiser and the moving average of a run."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lpn_training.config import TrainConfig
from lpn_training.distributed import Processes
from lpn_training.muon import SharedMuon
from lpn_training.rates import rate_factors

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
OPTIMISERS = ("adam", "adamw", "muon")
# Muon's orthogonal updates are for layers that mix many channels; a smaller side gains nothing.
MINIMUM_SIDE = 32

# A group of parameters with their names, and its settings.
Group = dict[str, Any]


class Optimiser(Protocol):
    """What the loop needs of an optimiser; PyTorch's have it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...
    def zero_grad(self, set_to_none: bool = True) -> None: ...
    def step(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...


class MuonWithAdamW:
    """Muon for the matrices of 1x1 convolutions, AdamW for all other parameters.

    Muon's updates are scaled to the root mean square of AdamW's, so that both take one rate.

    Args:
        matrices: Groups of 1x1 convolutions' weights (O, I, 1, 1), with their names.
        others: Groups for AdamW.
        config: Of the run.
        processes: That share Muon's work.
    """

    def __init__(
        self,
        matrices: list[Group],
        others: list[Group],
        config: TrainConfig,
        processes: Processes,
    ) -> None:
        self.matrices: list[nn.Parameter] = []
        self.flat: list[nn.Parameter] = []
        groups = []
        for group in matrices:
            # torch.optim.Muon takes two axes only: the same memory, seen so.
            named = [(name, nn.Parameter(p.detach().flatten(1))) for name, p in group["params"]]
            self.matrices += [whole for _, whole in group["params"]]
            self.flat += [flat for _, flat in named]
            groups.append({**group, "params": named})
        for whole, flat in zip(self.matrices, self.flat, strict=True):
            assert whole.data_ptr() == flat.data_ptr()
        self.muon = SharedMuon(
            groups,
            processes,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        fused = self.matrices[0].is_cuda
        self.adamw = torch.optim.AdamW(others, lr=config.learning_rate, fused=fused)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both."""
        return [*self.muon.param_groups, *self.adamw.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        self.adamw.zero_grad(set_to_none)
        for parameter in self.matrices:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update of all parameters."""
        for whole, flat in zip(self.matrices, self.flat, strict=True):
            flat.grad = None if whole.grad is None else whole.grad.flatten(1)
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}


def make_optimiser(
    model: nn.Module, config: TrainConfig, processes: Processes | None = None
) -> Optimiser:
    """The configured optimiser of all parameters that learn.

    Its groups have the key "rate_factor", which their learning rate is to be multiplied by.
    """
    if config.optimiser not in OPTIMISERS:
        raise ValueError(f"train.optimiser is {config.optimiser!r}; it must be one of {OPTIMISERS}")
    matrices, *others = _kinds(model, muon=config.optimiser == "muon")
    factors = rate_factors(model, config.rate_factors)
    parameters = dict(model.named_parameters())

    def groups(names: list[str], decay: float) -> list[Group]:
        by_factor: dict[float, list[str]] = {}
        for name in names:
            by_factor.setdefault(factors[name], []).append(name)
        return [
            {
                "params": [(name, parameters[name]) for name in chosen],
                "weight_decay": decay,
                "rate_factor": factor,
            }
            for factor, chosen in sorted(by_factor.items(), reverse=True)
            if factor > 0
        ]

    decays = (config.weight_decay, 0.0)
    rest = [g for names, decay in zip(others, decays, strict=True) for g in groups(names, decay)]
    shared = groups(matrices, config.weight_decay)
    if shared and rest:
        return MuonWithAdamW(shared, rest, config, processes or Processes())
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    fused = next(model.parameters()).is_cuda
    # AdamW alone where one of the two has nothing to do.
    return kind([*shared, *rest], lr=config.learning_rate, fused=fused)


def _kinds(model: nn.Module, *, muon: bool) -> tuple[list[str], list[str], list[str]]:
    """Names of the matrices that Muon takes, the weights that decay, and all other parameters."""
    matrices = _matrices(model) if muon else []
    decayed, spared = split_parameters(model)
    taken = set(matrices)
    return matrices, [name for name in decayed if name not in taken], spared


def _matrices(model: nn.Module) -> list[str]:
    """Weights of the 1x1 convolutions that mix many channels."""
    return [
        f"{name}.weight"
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d)
        and m.kernel_size == (1, 1)
        and m.groups == 1
        and min(m.in_channels, m.out_channels) >= MINIMUM_SIDE
    ]


def split_parameters(model: nn.Module) -> tuple[list[str], list[str]]:
    """Weights of convolutions and linear layers; all other parameters: biases, normalisation.

    By the kind of module, not by the number of axes: GC's LayerNorm has parameters (h, 1, 1).
    """
    weights = {id(m.weight) for m in model.modules() if isinstance(m, WEIGHTED)}
    named = list(model.named_parameters())
    decayed = [name for name, p in named if id(p) in weights]
    return decayed, [name for name, p in named if id(p) not in weights]


def restore_optimiser(optimiser: Optimiser, model: nn.Module, state: dict[str, Any]) -> None:
    """Take the moments out of an ``optimiser.state_dict()``; the settings stay the optimiser's own.

    Moments belong to parameters by name: the groups may be others, and what was frozen has none.

    Raises:
        ValueError: The state is Muon's and the optimiser is not, or the other way round.
    """
    muon = isinstance(optimiser, MuonWithAdamW)
    if muon != ("muon" in state):
        given, wanted = ("an Adam", "muon") if muon else ("Muon", "adam or adamw")
        raise ValueError(
            f"the checkpoint holds {given} optimiser's state, the configuration names {wanted}; "
            "its weights can start a new run: --set train.initial=PATH"
        )
    matrices, *others = _kinds(model, muon=muon)
    rest = [name for names in others for name in names]
    if isinstance(optimiser, MuonWithAdamW):
        _restore(optimiser.muon, state["muon"], matrices)
        _restore(optimiser.adamw, state["adamw"], rest)
        return
    assert isinstance(optimiser, torch.optim.Optimizer)
    if [len(group["params"]) for group in state["param_groups"]] != [len(g) for g in others]:
        # The earliest versions put all that had two and more axes into the first group.
        named = list(model.named_parameters())
        rest = [n for n, p in named if p.ndim > 1] + [n for n, p in named if p.ndim <= 1]
    _restore(optimiser, state, rest)


def _restore(optimiser: torch.optim.Optimizer, state: dict[str, Any], names: list[str]) -> None:
    """Give an optimiser of named parameters the moments of a state.

    Args:
        optimiser: All of its parameters have names.
        state: Of ``optimiser.state_dict()``.
        names: Of the state's parameters, in its order, where it is of an earlier version and does
            not tell them.
    """
    listed = [name for group in state["param_groups"] for name in group.get("param_names", ())]
    moments = {name: state["state"].get(index) for index, name in enumerate(listed or names)}
    groups = optimiser.state_dict()["param_groups"]
    ours = [name for group in groups for name in group["param_names"]]
    held = {index: moments[name] for index, name in enumerate(ours) if moments.get(name)}
    optimiser.load_state_dict({"state": held, "param_groups": groups})


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of weights and BatchNorm statistics, or None for a decay of 0."""
    if decay <= 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
