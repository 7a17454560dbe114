"""Which numbers the keys of a configuration take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Range(NamedTuple):
    """Which numbers a key takes, in words and as a test."""

    words: str
    holds: Callable[[float], bool]


ABOVE_0 = Range("above 0", lambda value: value > 0)
AT_LEAST_0 = Range("at least 0", lambda value: value >= 0)
AT_LEAST_1 = Range("at least 1", lambda value: value >= 1)
PART = Range("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_1 = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
# The encoder halves a side four times.
SIDE = Range("a multiple of 16 from 16 to 4096", lambda v: v % 16 == 0 and 16 <= v <= 4096)
# Of every key with numbers, also those in lists and tables.
RANGES = {
    "model": {
        "depth": ABOVE_0, "height": SIDE, "width": SIDE,
    },
    "data": {
        "source_weights": AT_LEAST_0, "held_out": BELOW_1, "target_sigma": ABOVE_0,
        "workers": Range("at least -1", lambda value: value >= -1), "limit": AT_LEAST_0,
    },
    "augment": {
        "rotation_sigma": AT_LEAST_0, "rotation_probability": PART, "scale_sigma": BELOW_1,
        "mirror_probability": PART, "shift_sigma": AT_LEAST_0, "colour": AT_LEAST_0,
        "paste_probability": PART,
    },
    "loss": {
        "label_weight": AT_LEAST_0, "teacher_weight": AT_LEAST_0, "teacher_joints": AT_LEAST_0,
        "noisy_confidence": AT_LEAST_0, "noisy_distance": AT_LEAST_0,
        "minimum_confidence": AT_LEAST_0,
    },
    "schedule": {
        "epochs": AT_LEAST_0, "total_seconds": AT_LEAST_0, "total_steps": AT_LEAST_0,
        "warmup": PART, "final": PART, "milestones": AT_LEAST_0, "factor": ABOVE_0,
        "stages": AT_LEAST_1, "restart_epoch": AT_LEAST_0, "cooldown": PART,
        "warmup_steps": AT_LEAST_0, "cooldown_steps": AT_LEAST_0,
        "phase_ends": PART, "phase_heights": SIDE,
    },
    "train": {
        # torch takes a seed of 64 bits.
        "seed": Range("at least 0 and below 2**63", lambda value: 0 <= value < 2**63),
        "batch_size": AT_LEAST_1, "learning_rate": ABOVE_0, "weight_decay": AT_LEAST_0,
        "clip_norm": AT_LEAST_0, "ema_decay": BELOW_1, "log_every": AT_LEAST_1,
        "save_every": AT_LEAST_1, "validate_every": AT_LEAST_1, "validate_epochs": AT_LEAST_0,
        "accumulate": AT_LEAST_1, "rate_factors": AT_LEAST_0, "keep_last": AT_LEAST_0,
    },
}  # fmt: skip


def check_ranges(config: object) -> None:
    """Hold every number to its range.

    Raises:
        ValueError: One is not in it; the message names the key.
    """
    for table, ranges in RANGES.items():
        for name, (words, holds) in ranges.items():
            for key, number in _numbers(f"{table}.{name}", getattr(getattr(config, table), name)):
                # Not isfinite of an integer: there are some that no float holds.
                odd = isinstance(number, float) and not math.isfinite(number)
                if odd or not holds(number):
                    raise ValueError(f"{key} is {number}; it must be {words}")


def _numbers(key: str, value: Any) -> Iterator[tuple[str, float]]:
    """The number or numbers of a key, each with its name."""
    if isinstance(value, dict):
        yield from ((f"{key}.{name}", number) for name, number in value.items())
    elif isinstance(value, tuple):
        yield from ((f"{key}[{index}]", number) for index, number in enumerate(value))
    else:
        yield key, value
