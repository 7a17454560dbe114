"""Checkpoints: plain tensors and numbers, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values to a temporary file, then put it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values; nothing in it is executed."""
    content = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(content, dict) or "model" not in content or "config" not in content:
        raise ValueError(f"{path} is not a training checkpoint: it lacks 'model' or 'config'")
    return content


def averaged_weights(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights to evaluate and export: the moving average, or the model where there is none."""
    weights: dict[str, torch.Tensor] = content.get("ema") or content["model"]
    return weights
