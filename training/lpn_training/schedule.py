"""Where a run stands in its stages, and the learning rate there.

The paper's iterative training strategy: stage 0 is a whole schedule; each later stage takes the
best weights so far, a fresh optimiser and the full learning rate, and begins at ``restart_epoch``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lpn_training.config import ScheduleConfig

KINDS = ("cosine", "trapezoid", "milestones")


@dataclass(frozen=True)
class Position:
    """A moment of a run.

    Attributes:
        stage: Which stage, from 0.
        step: Steps into that stage's schedule; a later stage starts at its restart epoch.
        seconds: Time used of the stage's budget, where it has one.
    """

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


def _check_endless(config: ScheduleConfig) -> None:
    """Whether a stage without a length is one that can go on for ever.

    Raises:
        ValueError: It is not.
    """
    if config.kind != "trapezoid":
        raise ValueError(
            "a stage has no length: one of schedule.epochs, total_seconds and total_steps "
            "must be positive"
        )
    parts = {
        "phase_ends": bool(config.phase_ends),
        "stages": config.stages > 1,
        "warmup": config.warmup > 0 and not config.warmup_steps,
    }
    for key, needs_end in parts.items():
        if needs_end:
            instead = "; warmup_steps does not" if key == "warmup" else ""
            raise ValueError(
                f"schedule.{key} is {getattr(config, key)}, which needs a stage that ends, and "
                f"schedule.total_steps is 0{instead}"
            )


class Schedule:
    """The stages of a run.

    Args:
        config: How long a stage is and how the learning rate falls.
        steps_per_epoch: Batches in one pass over the crops.

    Raises:
        ValueError: Settings that contradict each other.
    """

    def __init__(self, config: ScheduleConfig, steps_per_epoch: int) -> None:
        if config.kind not in KINDS:
            raise ValueError(f"schedule.kind is {config.kind!r}; it must be one of {KINDS}")
        if config.kind == "milestones" and config.epochs < 1:
            raise ValueError(
                f"schedule.epochs is {config.epochs}; milestones are epochs and need at least 1"
            )
        endless = config.epochs < 1 and config.total_seconds <= 0 and config.total_steps < 1
        if endless:
            _check_endless(config)
        for key in ("warmup_steps", "cooldown_steps"):
            timed = config.epochs < 1 and config.total_seconds > 0
            if getattr(config, key) and (timed or config.kind == "milestones"):
                other = "seconds end a stage" if timed else "milestones say what the rate is"
                raise ValueError(
                    f"schedule.{key} is {getattr(config, key)}, but {other}; set it to 0"
                )
        if config.stages < 1:
            raise ValueError(f"schedule.stages is {config.stages}; it must be at least 1")
        if not 0 <= config.restart_epoch < max(config.epochs, 1):
            raise ValueError(
                f"schedule.restart_epoch is {config.restart_epoch}; it must be at least 0 and "
                f"below schedule.epochs, which is {config.epochs}"
            )
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.total = math.inf if endless else config.epochs * steps_per_epoch or config.total_steps

    @property
    def timed(self) -> bool:
        """Whether seconds, not steps, end a stage."""
        return self.config.epochs < 1 and self.config.total_seconds > 0

    def begin(self, stage: int) -> Position:
        """The first moment of a stage."""
        epoch = self.config.restart_epoch if stage else 0
        return Position(stage, epoch * self.steps_per_epoch)

    def advance(self, position: Position, seconds: float) -> Position:
        """The moment one step later."""
        return Position(position.stage, position.step + 1, position.seconds + seconds)

    def progress(self, position: Position) -> float:
        """Part of the stage's schedule that is over, 0..1."""
        config = self.config
        if self.timed:
            return min(1.0, position.seconds / config.total_seconds)
        return min(1.0, position.step / self.total)

    def finished(self, position: Position) -> bool:
        """Whether the stage is over."""
        return self.progress(position) >= 1.0

    def factor(self, position: Position) -> float:
        """Part of the full learning rate.

        "milestones" multiplies by ``factor`` from each milestone on, which need not be a whole
        epoch; "cosine" warms up linearly and falls along half a cosine; "trapezoid" warms up,
        stays, and falls linearly at the end: a longer run shares all before the fall.
        """
        config, progress = self.config, self.progress(position)
        if config.kind == "milestones":
            passed = sum(
                position.step >= milestone * self.steps_per_epoch for milestone in config.milestones
            )
            return float(config.factor**passed)
        at, warm = progress, config.warmup
        if config.warmup_steps:
            at, warm = position.step, config.warmup_steps
        if at < warm:
            return max(at, 1e-3 * warm) / warm
        if config.kind == "trapezoid":
            left = (1 - progress) / max(config.cooldown, 1e-9)
            if config.cooldown_steps:
                left = (self.total - position.step) / config.cooldown_steps
            return config.final + (1 - config.final) * max(0.0, min(1.0, left))
        warm = config.warmup_steps / self.total if config.warmup_steps else config.warmup
        along = min(1.0, (progress - warm) / max(1 - warm, 1e-9))
        return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * along))

    def view_height(self, position: Position, full: int) -> int:
        """Height of the views of the next batch; ``full`` after all phases."""
        progress = self.progress(position)
        phases = zip(self.config.phase_ends, self.config.phase_heights, strict=True)
        return next((height for end, height in phases if progress < end), full)
