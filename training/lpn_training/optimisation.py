"""The optimiser and the moving average of a run."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lpn_training.config import TrainConfig


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay spares biases and normalisation."""
    if config.optimiser not in ("adam", "adamw"):
        raise ValueError(f"train.optimiser is {config.optimiser!r}; it must be 'adam' or 'adamw'")
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    fused = parameters[0].is_cuda
    return kind(groups, lr=config.learning_rate, fused=fused)


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of weights and BatchNorm statistics, or None for a decay of 0."""
    if decay <= 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
