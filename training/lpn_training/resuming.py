"""Checkpoints that a run goes on from, also those of other settings and of earlier versions."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpn_training.checkpoint import copy_checkpoints, load_checkpoint, load_resumable
from lpn_training.config import Config, stored_config
from lpn_training.schedule import Position, Schedule

logger = logging.getLogger(__name__)


def open_run(
    path: Path, device: torch.device, config: Config, digest: str
) -> tuple[dict[str, Any], Config]:
    """Read a checkpoint and its configuration; warn where the run will not repeat itself.

    Args:
        path: What ``fit`` wrote.
        device: Where its tensors go.
        config: Of the run that goes on.
        digest: Of its crops.

    Raises:
        ValueError: A checkpoint of another network, of an earlier version, or of the end of another
            schedule.
    """
    content = load_resumable(path, device)
    stored = stored_config(content)
    if stored.model != config.model:
        raise ValueError(f"{path} is of {stored.model}; the configuration says {config.model}")
    ended = content["position"]["stage"] >= stored.schedule.stages
    longer = stored.schedule != config.schedule
    if ended and longer and config.schedule.stages <= stored.schedule.stages:
        raise ValueError(
            f"{path} is of a run that has ended, its learning rate with it: go on from a "
            "checkpoint before its end, which train.keep_last keeps, or add to schedule.stages"
        )
    if stored != config:
        logger.warning("%s has another configuration: the run will not repeat itself", path)
    # Earlier versions knew crops by their boxes and joints alone, under another name.
    if content["sampler"].get("digest", digest) != digest:
        logger.warning("%s saw other crops: the run will not repeat itself", path)
    if not stored.data.validates:
        # Earlier versions gave unvalidated weights their stage's number, which no AP exceeds.
        for record in (content["best"], content["stage_best"]):
            if record["score"] == record["stage"]:
                record["score"] = -math.inf
    return content, stored


def bring_best(source: Path, output: Path, best: dict[str, Any]) -> bool:
    """Copy a run's best weights, which its later stages begin from, into the folder it goes on in.

    Every process of the run calls it before any goes on; they share the folders.

    Args:
        source: Where the run was.
        output: Where it goes on.
        best: What its checkpoint knows of the best weights.

    Returns:
        False where they are gone: the run had gone on after that checkpoint, and found better ones.

    Raises:
        FileNotFoundError: The run's folder lacks them.
    """
    if source.resolve() == output.resolve():
        return True
    place = source / "best.pt"
    if place.is_file() and load_checkpoint(place).get("best", best) != best:
        logger.warning("%s was replaced after this checkpoint: the best is found anew", place)
        return False
    if os.environ.get("RANK", "0") == "0":
        copy_checkpoints(source, output, ("best.pt", f"stage-{best['stage']}.pt"))
    return True


def resumed_position(content: dict[str, Any], stored: Config, schedule: Schedule) -> Position:
    """Where a run goes on: at the epoch where it was, whatever the number of steps in one.

    Args:
        content: The checkpoint.
        stored: Its configuration.
        schedule: Of the run that goes on.
    """
    position = Position(**content["position"])
    if not stored.schedule.epochs or not schedule.config.epochs:
        return position
    epoch = content["progress"] * stored.schedule.epochs
    moved = replace(position, step=round(epoch * schedule.steps_per_epoch))
    if moved != position:
        logger.warning(
            "an epoch has %d steps, and had another number of them: the run goes on at epoch %.3f, "
            "step %d of its schedule instead of %d",
            schedule.steps_per_epoch, epoch, moved.step, position.step,
        )  # fmt: skip
    return moved
