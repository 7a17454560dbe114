"""One process of a distributed test run; torchrun starts it: SHARD OUTPUT.

First 20 steps of each of ``RUNS`` in float64 with frozen BatchNorm, whose weights and moments it
saves; then a short run of ``tiny.toml`` with both stages, whose BatchNorm learns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from lpn_training import train
from lpn_training.batches import Batch
from lpn_training.config import Config
from lpn_training.distributed import Processes, join_processes
from training_runs import tiny_config

STEPS = 20
RUNS = {
    "adam": ("train.optimiser=adam",),
    "muon": ("train.optimiser=muon", "train.batch_size=2", "train.accumulate=2"),
}


def double_steps(
    shard: Path, output: Path, processes: Processes, *overrides: str, steps: int = STEPS
) -> train.Trainer:
    """A run after some steps in float64 on this process's part of the batches."""
    config = tiny_config(shard, "train.freeze_norm=true", *overrides, validate=False)
    single = train.build_model

    def double_model(config: Config) -> torch.nn.Module:
        return single(config).double()

    train.build_model = double_model  # type: ignore[assignment]
    try:
        trainer = train.Trainer(config, output, processes)
    finally:
        train.build_model = single
    draw = trainer.batches.draw

    def double_draw(*arguments: Any, **options: Any) -> Batch:
        batch = draw(*arguments, **options)
        return Batch(*(None if part is None else part.double() for part in batch))

    trainer.batches.draw = double_draw  # type: ignore[method-assign, assignment]
    trainer.training_mode()
    for _ in range(steps):
        trainer.train_step()
    return trainer


def main() -> None:
    shard, output = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    processes = join_processes("cpu")
    for name, overrides in RUNS.items():
        trainer = double_steps(shard, output, processes, *overrides)
        torch.save(trainer.state(), output / f"{name}-{processes.rank}.pt")
    train.fit(tiny_config(shard, "schedule.epochs=2"), output / "run")


if __name__ == "__main__":
    main()
