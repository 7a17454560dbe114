"""``lpn-train fit``: training as a TOML file says."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lpn_training.cli.paths import ANY_PATH, EXISTING

# What a shell reports of a process that SIGTERM ended.
TERMINATED = 128 + 15


@click.command()
@click.argument("config", type=EXISTING)
@click.option("-o", "--output", type=ANY_PATH, required=True, help="Folder of the run.")
@click.option("--resume", type=EXISTING, help="Checkpoint to continue from.")
@click.option("--max-seconds", default=0.0, help="Stop and save after so long (0: never).")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
              help="Override a configuration value (TOML syntax).")  # fmt: skip
def fit(
    config: Path, output: Path, resume: Path | None, max_seconds: float, overrides: tuple[str, ...]
) -> None:
    """Train as a TOML file says.

    Several GPUs or processes: torchrun --nproc-per-node N -m lpn_training fit CONFIG -o OUTPUT.
    SIGTERM finishes the step, saves last.pt and exits with 143.
    """
    from lpn_training.config import load_config
    from lpn_training.train import fit as run

    try:
        settings = load_config(config, overrides)
        trainer = run(settings, output, resume=resume, max_seconds=max_seconds)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (OSError, ImportError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error
    stage, progress = trainer.position.stage, trainer.schedule.progress(trainer.position)
    if trainer.processes.rank == 0:
        click.echo(f"step {trainer.step}, stage {stage} at {progress:.3f}: {output / 'last.pt'}")
    if trainer.stopping:
        sys.exit(TERMINATED)
