"""The arrays of checkpoints: safetensors, or PyTorch's, read without running what they hold."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.model import safetensors

# The key of a model file's metadata that no other file has.
_MODEL_KEY = "lpn_core"
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
