"""The optimiser and the moving average of a run."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lpn_training.config import TrainConfig
from lpn_training.distributed import Processes
from lpn_training.muon import SharedMuon

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
OPTIMISERS = ("adam", "adamw", "muon")
# Muon's orthogonal updates are for layers that mix many channels; a smaller side gains nothing.
MINIMUM_SIDE = 32


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
        matrices: 1x1 convolutions' weights (O, I, 1, 1).
        others: Groups for AdamW.
        config: Of the run.
        processes: That share Muon's work.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[dict[str, Any]],
        config: TrainConfig,
        processes: Processes,
    ) -> None:
        self.matrices = matrices
        # torch.optim.Muon takes two axes only: the same memory, seen so.
        self.flat = [nn.Parameter(p.detach().flatten(1)) for p in matrices]
        for whole, flat in zip(matrices, self.flat, strict=True):
            assert whole.data_ptr() == flat.data_ptr()
        self.muon = SharedMuon(
            self.flat,
            processes,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self.adamw = torch.optim.AdamW(others, lr=config.learning_rate, fused=matrices[0].is_cuda)

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
    """The configured optimiser; weight decay reaches ``split_parameters``' first list."""
    if config.optimiser not in OPTIMISERS:
        raise ValueError(f"train.optimiser is {config.optimiser!r}; it must be one of {OPTIMISERS}")
    decayed, spared = split_parameters(model)
    matrices = _matrices(model) if config.optimiser == "muon" else []
    taken = {id(matrix) for matrix in matrices}
    groups = [
        {
            "params": [p for p in decayed if id(p) not in taken],
            "weight_decay": config.weight_decay,
        },
        {"params": spared, "weight_decay": 0.0},
    ]
    if matrices:
        return MuonWithAdamW(matrices, groups, config, processes or Processes())
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, fused=decayed[0].is_cuda)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    """Weights of the 1x1 convolutions that mix many channels."""
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    return [
        cast(nn.Parameter, m.weight)
        for m in convolutions
        if m.kernel_size == (1, 1)
        and m.groups == 1
        and min(m.in_channels, m.out_channels) >= MINIMUM_SIDE
    ]


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of convolutions and linear layers; all other parameters: biases, normalisation.

    By the kind of module, not by the number of axes: GC's LayerNorm has parameters (h, 1, 1).
    """
    weights = {id(m.weight) for m in model.modules() if isinstance(m, WEIGHTED)}
    decayed = [p for p in model.parameters() if id(p) in weights]
    return decayed, [p for p in model.parameters() if id(p) not in weights]


def restore_optimiser(optimiser: Optimiser, model: nn.Module, state: dict[str, Any]) -> None:
    """Take the moments out of an ``optimiser.state_dict()``; the settings stay the optimiser's own.

    Earlier versions put all that had two and more axes into the first group.

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
    if isinstance(optimiser, MuonWithAdamW):
        parts = ((optimiser.muon, state["muon"]), (optimiser.adamw, state["adamw"]))
        for part, held in parts:
            _restore(part, held["state"])
        return
    assert isinstance(optimiser, torch.optim.Optimizer)
    ours = [group["params"] for group in optimiser.param_groups]
    moments = state["state"]
    if [len(group["params"]) for group in state["param_groups"]] != [len(g) for g in ours]:
        parameters = list(model.parameters())
        theirs = [p for p in parameters if p.ndim > 1] + [p for p in parameters if p.ndim <= 1]
        place = {id(parameter): index for index, parameter in enumerate(theirs)}
        order = [place[id(parameter)] for group in ours for parameter in group]
        moments = {new: moments[old] for new, old in enumerate(order) if old in moments}
    _restore(optimiser, moments)


def _restore(optimiser: torch.optim.Optimizer, moments: dict[int, Any]) -> None:
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of weights and BatchNorm statistics, or None for a decay of 0."""
    if decay <= 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
