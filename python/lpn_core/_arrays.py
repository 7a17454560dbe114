"""Array arguments: what callers may pass, and the errors when they pass something else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# How a torch tensor, which has no astype(), is converted.
_TORCH_CASTS = {"float32": "float()", "float64": "double()", "uint8": "byte()"}


def is_torch(value: object) -> bool:
    """Whether it is torch's, found out without importing that."""
    return type(value).__module__.partition(".")[0] == "torch"


def as_array(value: object, name: str) -> NDArray[Any]:
    """Views ``value`` as a NumPy array without copying its elements.

    Args:
        value: a NumPy array, a DLPack exporter on the CPU or an object with ``__array__``.
        name: what the caller calls it, for the errors.

    Raises:
        TypeError: it is none of these.
        ValueError: it exports DLPack, but not to the CPU.
    """
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            hint = "pass an array in CPU memory (for a torch tensor: tensor.detach().cpu())"
            if "bfloat16" in str(getattr(value, "dtype", "")):
                how = f"{name}.float()" if is_torch(value) else f"{name}.astype(np.float32)"
                hint = f"NumPy has no bfloat16: pass {how}"
            raise ValueError(
                f"{name}: NumPy cannot view this {type(value).__name__} through DLPack ({error}); "
                f"{hint}"
            ) from error
    if hasattr(value, "__array__"):
        return np.asarray(value)
    raise TypeError(
        f"{name} is {type(value).__name__}; wanted a NumPy array or an object that exports DLPack"
    )


def check_array(value: object, name: str, dtype: type[np.generic], shape: str) -> NDArray[Any]:
    """Views ``value`` as a C-contiguous array of exactly ``dtype`` with as many axes as ``shape``.

    Args:
        value: what the caller passed.
        name: what the caller calls it, for the errors.
        dtype: the wanted type.
        shape: the wanted axes, as in "(N, H, W, C)".

    Raises:
        TypeError: another dtype (nothing is converted silently).
        ValueError: another number of axes, or not C-contiguous (nothing is copied silently).
    """
    array = as_array(value, name)
    wanted = np.dtype(dtype)
    if array.dtype != wanted:
        how = _TORCH_CASTS.get(wanted.name) if is_torch(value) else None
        raise TypeError(
            f"{name} is {array.dtype}; wanted {wanted}, which "
            f"{name}.{how or f'astype(np.{wanted})'} gives"
        )
    axes = shape.strip("()").rstrip(",").split(",")
    if array.ndim != len(axes):
        hint = f"; {name}[None] makes a batch of one" if array.ndim == len(axes) - 1 else ""
        raise ValueError(
            f"{name} has {array.ndim} axes {array.shape}; wanted {len(axes)}: {shape}{hint}"
        )
    if not array.flags.c_contiguous:
        how = f"{name}.contiguous()" if is_torch(value) else f"np.ascontiguousarray({name})"
        raise ValueError(
            f"{name} {array.shape} is not C-contiguous (strides {array.strides}); "
            f"{how} makes a copy that is"
        )
    return array
