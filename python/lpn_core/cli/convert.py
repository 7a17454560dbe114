"""lpn convert: from a checkpoint to a model file."""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from lpn_core.architectures import ARCHITECTURES
from lpn_core.cli.messages import with_name
from lpn_core.cli.model_options import decode_spec, refuse_overwriting
from lpn_core.cli.outputs import check_folder
from lpn_core.convert import held_to_torch, make_model_file
from lpn_core.keypoints import KEYPOINT_SETS
from lpn_core.model import file, safetensors
from lpn_core.model.spec import CHANNEL_ORDERS, DECODE_KINDS, InputSpec, Provenance

# The key of a model file's metadata that no other file has.
_MODEL_KEY = "lpn_core"
_FINAL_LAYER = "final_layer.weight"
# What torch.load raises on files that are damaged or hold more than tensors.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


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
    "--keypoints", type=click.Choice(list(KEYPOINT_SETS)), default="coco17", show_default=True
)
def convert(
    checkpoint: Path,
    arch: str,
    channel_order: str,
    output: Path,
    name: str | None,
    bf16: bool,
    decode: str,
    beta: float | None,
    quarter_step: bool,
    flip_shift: int,
    input_size: tuple[int, int],
    keypoints: str,
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
        _check_joints(state_dict, keypoints)
        made = make_model_file(
            name or output.stem,
            arch,
            state_dict,
            channel_order=channel_order,
            decode=how,
            input=spec,
            keypoints=keypoints,
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


def _check_joints(state_dict: Mapping[str, NDArray[Any]], keypoints: str) -> None:
    """Whether the last layer makes as many heatmaps as the keypoint set has joints.

    Raises:
        ValueError: it does not; the message names the sets that fit.
    """
    final = state_dict.get(_FINAL_LAYER, state_dict.get(f"module.{_FINAL_LAYER}"))
    joints = len(KEYPOINT_SETS[keypoints])
    if final is None or final.ndim == 0 or len(final) == joints:
        return
    fitting = [f"--keypoints {n}" for n, entry in KEYPOINT_SETS.items() if len(entry) == len(final)]
    known = ", ".join(f"{n} ({len(entry)})" for n, entry in KEYPOINT_SETS.items())
    raise ValueError(
        f"its {_FINAL_LAYER} makes {len(final)} heatmaps, but the keypoint set {keypoints} has "
        f"{joints} joints; wanted {' or '.join(fitting) or f'one of the sets {known}'}"
    )


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Reads a checkpoint's arrays: a state dict, or one under the key "state_dict".

    Raises:
        ValueError: not a checkpoint, without a state dict, or a model file already.
        ImportError: a PyTorch checkpoint, and torch is not installed.
        OSError: the file cannot be read.
    """
    if path.suffix == ".safetensors":
        tensors, metadata = safetensors.read(path)
        if _MODEL_KEY in metadata:
            raise ValueError(
                f"{path}: a model file already, which needs no conversion: `lpn info {path}` shows "
                "it, `--model` and lpn_core.load take it; wanted a checkpoint"
            )
        return {name: tensor.to_array() for name, tensor in tensors.items()}
    try:
        import torch
    except ImportError:
        raise ImportError(
            f'{path}: reading a PyTorch checkpoint needs torch: pip install "lpn-core[convert]"'
        ) from None
    try:
        with warnings.catch_warnings():
            # torch's advice on pickles of other kinds is not for users of this command.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise ValueError(
            f"{path}: not a checkpoint of plain tensors{_reason(error)}; wanted a state dict. If "
            "it holds a whole model, load it where it was made and save only its state_dict: "
            "torch.save(model.state_dict(), path)"
        ) from None
    if isinstance(content, Mapping) and {"model", "config"} <= content.keys():
        raise ValueError(
            f"{path}: a training checkpoint, which lpn-training turns into a model file: "
            f"lpn-train export {path} -o FILE --name NAME"
        )
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}; wanted a state dict")
    other = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if other or not content:
        raise ValueError(
            f"{path}: wanted a state dict of tensors, or one under the key 'state_dict'; it holds "
            f"{', '.join(other[:8]) or 'nothing'}"
        )
    try:
        return {str(name): _to_numpy(tensor) for name, tensor in content.items()}
    except TypeError as error:
        raise ValueError(f"{path}: a tensor that NumPy cannot hold: {error}") from None


def _reason(error: Exception) -> str:
    """What torch found, without its advice to run whatever the file holds."""
    if isinstance(error, pickle.UnpicklingError):
        other = re.search(r"nsupported (?:global: )?GLOBAL ([\w.]+)", str(error))
        return f": it holds a {other[1]}" if other else ""
    if isinstance(error, RuntimeError) and str(error):
        return f" ({str(error).splitlines()[0].partition('. ')[0]})"
    return ""


def _to_numpy(tensor: Any) -> NDArray[Any]:
    # NumPy has no bfloat16; float32 holds each of its values.
    name = str(tensor.dtype)
    return np.asarray((tensor.float() if name == "torch.bfloat16" else tensor).detach().numpy())
