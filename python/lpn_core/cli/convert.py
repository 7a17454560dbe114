"""lpn convert: from a checkpoint to a model file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from numpy.typing import NDArray

from lpn_core.cli.messages import with_name
from lpn_core.cli.model_options import decode_spec, refuse_overwriting
from lpn_core.cli.outputs import check_folder
from lpn_core.convert import held_to_torch, make_model_file
from lpn_core.convert.architectures import ARCHITECTURES
from lpn_core.convert.state_dict import read_state_dict
from lpn_core.keypoints import KEYPOINT_SETS
from lpn_core.model import file
from lpn_core.model.spec import CHANNEL_ORDERS, DECODE_KINDS, InputSpec, Provenance

if TYPE_CHECKING:
    from lpn_core._types import ChannelOrder, DecodeKind

_FINAL_LAYER = "final_layer.weight"


def _parse_size(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in value.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"{value!r}; wanted HEIGHTxWIDTH, such as 256x192") from None
    return height, width


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--arch", required=True, type=click.Choice(list(ARCHITECTURES)))
@click.option(
    "--channel-order",
    required=True,
    type=click.Choice(CHANNEL_ORDERS),
    help="Of its training. Official checkpoints: LPN's take bgr on COCO and rgb on MPII, "
    "SimpleBaseline's bgr, HRNet's rgb. The wrong one costs several AP, and nothing says so.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The model file to write.",
)
@click.option("--name", help="Of the model.  [default: that of the output]")
@click.option("--bf16", is_flag=True, help="Store weights rounded to bfloat16: half the size.")
@click.option("--decode", type=click.Choice(DECODE_KINDS), default="soft_argmax", show_default=True)
@click.option("--beta", type=float, help="Of soft_argmax.  [default: 160]")
@click.option("--quarter-step/--no-quarter-step", default=True, show_default=True)
@click.option("--flip-shift", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--input-size", callback=_parse_size, metavar="HxW", default="256x192", show_default=True
)
@click.option(
    "--keypoints",
    "keypoint_set",
    type=click.Choice(list(KEYPOINT_SETS)),
    default="coco17",
    show_default=True,
)
def convert(
    checkpoint: Path,
    arch: str,
    channel_order: ChannelOrder,
    output: Path,
    name: str | None,
    bf16: bool,
    decode: DecodeKind,
    beta: float | None,
    quarter_step: bool,
    flip_shift: int,
    input_size: tuple[int, int],
    keypoint_set: str,
) -> None:
    """Make a model file of a checkpoint.

    CHECKPOINT is a state dict under LPN's official key names: .safetensors, or .pth/.pt, which
    needs torch and is read without running any code in it. Where torch is installed, the model
    must give PyTorch's heatmaps of its self-test; the file's notes say how closely it does.
    """
    dtype = "bfloat16" if bf16 else "float32"
    refuse_overwriting(output, checkpoint)
    how = decode_spec(decode, beta, quarter_step=quarter_step, flip_shift=flip_shift)
    check_folder(output.parent, "--output")
    try:
        spec = InputSpec(channel_order=channel_order, height=input_size[0], width=input_size[1])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        state_dict = read_state_dict(checkpoint)
        _check_joints(state_dict, keypoint_set)
        made = make_model_file(
            name or output.stem,
            arch,
            state_dict,
            channel_order=channel_order,
            decode=how,
            input=spec,
            keypoint_set=keypoint_set,
            provenance=Provenance(
                architecture=arch,
                source_sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
            ),
            dtype=dtype,
        )
        file.write(output, held_to_torch(made, state_dict, dtype), dtype)
    except ValueError as error:
        raise click.ClickException(with_name(error, checkpoint)) from None
    except (OSError, ImportError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{output}: {output.stat().st_size:,} bytes, {dtype}", err=True)


def _check_joints(state_dict: Mapping[str, NDArray[Any]], keypoint_set: str) -> None:
    """Whether the last layer makes as many heatmaps as the keypoint set has joints.

    Raises:
        ValueError: it does not; the message names the sets that fit.
    """
    final = state_dict.get(_FINAL_LAYER, state_dict.get(f"module.{_FINAL_LAYER}"))
    joints = len(KEYPOINT_SETS[keypoint_set])
    if final is None or final.ndim == 0 or len(final) == joints:
        return
    fitting = [f"--keypoints {n}" for n, entry in KEYPOINT_SETS.items() if len(entry) == len(final)]
    known = ", ".join(f"{n} ({len(entry)})" for n, entry in KEYPOINT_SETS.items())
    raise ValueError(
        f"its {_FINAL_LAYER} makes {len(final)} heatmaps, but the keypoint set {keypoint_set} has "
        f"{joints} joints; wanted {' or '.join(fitting) or f'one of the sets {known}'}"
    )
