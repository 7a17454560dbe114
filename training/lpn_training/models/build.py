"""Networks by their configuration."""

from __future__ import annotations

from typing import Any

from lpn_training.config import Config
from lpn_training.models.lpn import LPN


def build_model(config: Config) -> LPN:
    """The network a configuration names, freshly initialised."""
    model = config.model
    attention: Any = None if model.attention == "none" else model.attention
    initialisation: Any = model.initialisation
    return LPN(model.depth, attention, model.num_joints, initialisation)
