"""``lpn-train export``: a model file for ``lpn_core``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lpn_training.cli.paths import ANY_PATH, EXISTING


@click.command()
@click.argument("checkpoint", type=EXISTING)
@click.option("-o", "--output", type=ANY_PATH, required=True, help="The .safetensors to write.")
@click.option("--name", required=True, help="Name of the model, such as lpn50.")
@click.option("--bf16", is_flag=True, help="Round the weights to bfloat16: half the size.")
@click.option("--training-data", help="For the model's card.")
@click.option("--ap", type=float, help="COCO AP without flip test, 0..1; --notes say on what.")
@click.option("--ap-flip", type=float, help="COCO AP with flip test, 0..1.")
@click.option("--notes", help="What a user should know.")
@click.option("--card", type=ANY_PATH, help="Markdown file to write the model's card to.")
def export(checkpoint: Path, output: Path, bf16: bool, **options: Any) -> None:
    """Write a checkpoint as a model file for lpn_core.

    Its averaged weights count where it has them. The file is run first: it must pass its
    self-test and give PyTorch's heatmaps.
    """
    from lpn_training.checkpoint import load_checkpoint
    from lpn_training.export import export_checkpoint

    dtype = "bfloat16" if bf16 else "float32"
    try:
        load_checkpoint(checkpoint)
    except ValueError as error:
        raise click.UsageError(
            f"{error}; of a bare state dict `lpn convert` makes a model file: "
            f"lpn convert {checkpoint} --arch ARCH --channel-order rgb|bgr -o {output}"
        ) from error
    try:
        export_checkpoint(checkpoint, output, dtype=dtype, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"wrote {output}")
