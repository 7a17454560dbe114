"""The optimiser and the moving average of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lpn_training.config import TrainConfig

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay reaches ``split_parameters``' first list."""
    if config.optimiser not in ("adam", "adamw"):
        raise ValueError(f"train.optimiser is {config.optimiser!r}; it must be 'adam' or 'adamw'")
    decayed, spared = split_parameters(model)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    fused = decayed[0].is_cuda
    return kind(groups, lr=config.learning_rate, fused=fused)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of convolutions and linear layers; all other parameters: biases, normalisation.

    By the kind of module, not by the number of axes: GC's LayerNorm has parameters (h, 1, 1).
    """
    weights = {id(m.weight) for m in model.modules() if isinstance(m, WEIGHTED)}
    decayed = [p for p in model.parameters() if id(p) in weights]
    return decayed, [p for p in model.parameters() if id(p) not in weights]


def restore_optimiser(
    optimiser: torch.optim.Optimizer, model: nn.Module, state: dict[str, Any]
) -> None:
    """Take the moments out of an ``optimiser.state_dict()``; the settings stay the optimiser's own.

    Earlier versions put all that had two and more axes into the first group.
    """
    ours = [group["params"] for group in optimiser.param_groups]
    moments = state["state"]
    if [len(group["params"]) for group in state["param_groups"]] != [len(g) for g in ours]:
        parameters = list(model.parameters())
        theirs = [p for p in parameters if p.ndim > 1] + [p for p in parameters if p.ndim <= 1]
        place = {id(parameter): index for index, parameter in enumerate(theirs)}
        order = [place[id(parameter)] for group in ours for parameter in group]
        moments = {new: moments[old] for new, old in enumerate(order) if old in moments}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of weights and BatchNorm statistics, or None for a decay of 0."""
    if decay <= 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
