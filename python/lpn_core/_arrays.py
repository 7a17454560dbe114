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


def as_array(value: object, name: str, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """Views ``value`` as a NumPy array without copying its elements.

    Args:
        value: a NumPy array, a DLPack exporter on the CPU or an object with ``__array__``.
        name: what the caller calls it, for the errors.
        dtype: that is wanted, for the errors.

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
            raise ValueError(
                f"{name}: NumPy cannot view this {type(value).__name__} through DLPack ({error}); "
                f"{_export_hint(value, name, dtype)}"
            ) from error
    if hasattr(value, "__array__"):
        return np.asarray(value)
    raise TypeError(
        f"{name} is {type(value).__name__}; wanted a NumPy array or an object that exports DLPack"
    )


def _export_hint(value: Any, name: str, dtype: type[np.generic]) -> str:
    """What exports: all that is in the way, gone at once."""
    bfloat16 = "bfloat16" in str(getattr(value, "dtype", ""))
    because = "NumPy has no bfloat16: " if bfloat16 else ""
    if not is_torch(value):
        how = f"{name}.astype(np.{np.dtype(dtype)})" if bfloat16 else "an array in CPU memory"
        return f"{because}pass {how}"
    how = name
    if value.requires_grad:
        how += ".detach()"
    if value.device.type != "cpu":
        how += ".cpu()"
    if bfloat16:
        how += f".{_TORCH_CASTS[np.dtype(dtype).name]}"
    return f"{because}pass {how if how != name else f'{name}.detach().cpu()'}"


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
    array = as_array(value, name, dtype)
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
        hint = _channels_last_hint(array, value, name)
        raise ValueError(
            f"{name} {array.shape} is not C-contiguous (strides {array.strides}); "
            f"{contiguous(name, value)} makes a copy that is{hint}"
        )
    return array


def contiguous(expression: str, value: object) -> str:
    """How a caller makes a C-contiguous copy of an expression of ``value``'s kind."""
    return (
        f"{expression}.contiguous()" if is_torch(value) else f"np.ascontiguousarray({expression})"
    )


def moved(name: str, value: object, *axes: int) -> str:
    """How a caller moves the axes of ``value``."""
    how = "permute" if is_torch(value) else "transpose"
    return f"{name}.{how}({', '.join(map(str, axes))})"


def _channels_last_hint(array: NDArray[Any], value: object, name: str) -> str:
    if array.ndim != 4 or not array.transpose(0, 2, 3, 1).flags.c_contiguous:
        return ""
    view = moved(name, value, 0, 2, 3, 1)
    return f"; if these are (N, C, H, W) with channels last in memory, {view} needs no copy"
