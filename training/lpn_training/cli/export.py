"""``lpn-train export``: a model file for ``lpn_core``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lpn_training.cli.errors import report_errors
from lpn_training.cli.paths import ANY_FILE, EXISTING_FILE

if TYPE_CHECKING:
    from lpn_core._types import DecodeKind

# lpn_core.model.spec.DECODE_KINDS without its import, which no other verb's help waits for.
DECODE_KINDS = ("soft_argmax", "argmax")


@click.command()
@click.argument("checkpoint", type=EXISTING_FILE)
@click.option("-o", "--output", type=ANY_FILE, required=True, help="The .safetensors to write.")
@click.option("--name", required=True, help="Name of the model, such as lpn50.")
@click.option("--bf16", is_flag=True, help="Round the weights to bfloat16: half the size.")
@click.option("--decode", type=click.Choice(DECODE_KINDS), default="soft_argmax", show_default=True)
@click.option("--beta", type=float, help="Of soft_argmax.  [default: 160]")
@click.option("--quarter-step/--no-quarter-step", default=True, show_default=True)
@click.option("--flip-shift", type=click.IntRange(min=0), default=1, show_default=True,
              help="Heatmap pixels.")  # fmt: skip
@click.option("--training-data", help="For the model's card.")
@click.option("--ap", type=click.FloatRange(0, 1),
              help="COCO AP without flip test, 0..1; --notes say on what.")  # fmt: skip
@click.option("--ap-flip", type=click.FloatRange(0, 1), help="COCO AP with flip test, 0..1.")
@click.option("--pckh", type=click.FloatRange(0, 1),
              help="MPII's PCKh@0.5 without flip test, 0..1.")  # fmt: skip
@click.option("--pckh-flip", type=click.FloatRange(0, 1), help="PCKh@0.5 with flip test, 0..1.")
@click.option("--notes", help="What a user should know.")
@click.option("--card", type=ANY_FILE, help="Markdown file to write the model's card to.")
def export(
    checkpoint: Path,
    output: Path,
    bf16: bool,
    decode: DecodeKind,
    beta: float | None,
    quarter_step: bool,
    flip_shift: int,
    **options: Any,
) -> None:
    """Write a checkpoint as a model file for lpn_core.

    Its averaged weights count where it has them. The file is run first: it must pass its
    self-test and give PyTorch's heatmaps.
    """
    from lpn_core.cli.model_options import decode_spec, refuse_overwriting

    from lpn_training.checkpoint import load_checkpoint
    from lpn_training.export import export_checkpoint

    refuse_overwriting(output, checkpoint)
    how = decode_spec(decode, beta, quarter_step=quarter_step, flip_shift=flip_shift)
    with report_errors(output):
        try:
            load_checkpoint(checkpoint)
        except ValueError as error:
            raise ValueError(
                f"{error}; of a bare state dict `lpn convert` makes a model file: "
                f"lpn convert {checkpoint} --arch ARCH --channel-order rgb|bgr -o {output}"
            ) from error
        dtype = "bfloat16" if bf16 else "float32"
        export_checkpoint(checkpoint, output, dtype=dtype, decode=how, **options)
    click.echo(f"wrote {output}")
