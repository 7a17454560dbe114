"""Learning rate as a function of progress, and what advances the progress."""

from __future__ import annotations

import math

from lpn_training.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, progress: float) -> float:
    """Part of the peak learning rate at a progress of 0..1.

    "cosine" warms up linearly and falls along half a cosine; "milestones" multiplies by
    ``factor`` at each milestone, the paper's schedule.
    """
    if config.kind == "milestones":
        passed = sum(progress >= milestone for milestone in config.milestones)
        return float(config.factor**passed)
    if config.kind == "cosine":
        if progress < config.warmup:
            return max(progress, 1e-3 * config.warmup) / config.warmup
        along = min(1.0, (progress - config.warmup) / (1 - config.warmup))
        return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * along))
    raise ValueError(f"schedule.kind is {config.kind!r}; it must be 'cosine' or 'milestones'")


def advance(config: ScheduleConfig, seconds: float) -> float:
    """Progress one step makes: by count, or by the seconds it took when a time is budgeted."""
    span = 1 - config.start
    if config.total_seconds > 0:
        return span * seconds / config.total_seconds
    return span / config.total_steps
