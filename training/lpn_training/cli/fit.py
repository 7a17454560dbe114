"""``lpn-train fit``: training as a TOML file says."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FOLDER, EXISTING_FILE

# What a shell reports of a process that a signal ended: this and the signal's number.
SIGNALLED = 128


@click.command()
@click.argument("config", type=EXISTING_FILE)
@click.option("-o", "--output", type=ANY_FOLDER, required=True, help="Folder of the run.")
@click.option("--resume", type=EXISTING_FILE, help="Checkpoint to continue from.")
@click.option("--max-seconds", type=click.FloatRange(min=0), default=0.0,
              help="Stop and save after so long (0: never).")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
              help="Override a configuration value (TOML syntax).")  # fmt: skip
def fit(
    config: Path, output: Path, resume: Path | None, max_seconds: float, overrides: tuple[str, ...]
) -> None:
    """Train as a TOML file says.

    Several GPUs or processes: torchrun --nproc-per-node N -m lpn_training fit CONFIG -o OUTPUT.
    Ctrl-C or SIGTERM finishes the step, saves last.pt and exits with 130 or 143; a second Ctrl-C
    stops at once.
    """
    from lpn_training.config import load_config
    from lpn_training.train import fit as run
    from lpn_training.validation import beside_ap

    with report_errors():
        settings = load_config(config, overrides)
        try:
            trainer = run(settings, output, resume=resume, max_seconds=max_seconds)
        except KeyboardInterrupt:
            sys.exit(SIGNALLED + signal.SIGINT)
    stage, progress = trainer.position.stage, trainer.schedule.progress(trainer.position)
    if trainer.processes.rank == 0:
        click.echo(f"step {trainer.step}, stage {stage} at {progress:.3f}: {output / 'last.pt'}")
        if "ap" in trainer.best:
            figures = {"best AP": trainer.best["ap"], **beside_ap(trainer.best)}
            click.echo(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    if trainer.stop.received is not None:
        sys.exit(SIGNALLED + trainer.stop.received)
