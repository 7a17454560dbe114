"""What callers may pass, and the errors, which name the argument, when they pass something else."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", int, float)
Text = TypeVar("Text", bound=str)

# The extension's float32 numbers, but for subnormal ones.
_LARGEST, _TINIEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
# How a torch tensor, which has no astype(), is converted.
_TORCH_CASTS = {"float32": "float()", "float64": "double()", "uint8": "byte()"}


def check_int(value: Any, name: str, *, bits: int = 32) -> int:
    """An integer, Python's or NumPy's.

    Args:
        value: what the caller passed.
        name: what the caller calls it, for the errors.
        bits: of the extension's integer, the sign's included.

    Raises:
        TypeError: not an integer, or a truth value.
        ValueError: one that does not fit.
    """
    try:
        if isinstance(value, bool | np.ndarray):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {_shown(value)}; wanted an integer") from None
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise ValueError(f"{name} is {_shown(number)}; wanted an integer of at most {bits} bits")
    return number


def check_number(value: object, name: str) -> float:
    """A number, Python's or NumPy's.

    Raises:
        TypeError: anything else.
        ValueError: an integer beyond all floats.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {_shown(value)}; wanted a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {_shown(value)}; wanted a number of at most 1e308") from None


def check_float32(value: object, name: str) -> float:
    """A number that the engine's float32 can hold, to its precision.

    Raises:
        TypeError: not a number.
        ValueError: one so large that it would become infinite, or so small that it would be 0.
    """
    number = check_number(value, name)
    if not (number == 0 or _TINIEST <= abs(number) <= _LARGEST or not isfinite(number)):
        raise ValueError(
            f"{name} is {number:g}; wanted 0 or a size from {_TINIEST:g} to {_LARGEST:g}"
        )
    return number


def check_flag(value: object, name: str) -> bool:
    """A truth value, Python's or NumPy's.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {_shown(value)}; wanted True or False")
    return bool(value)


def check_text(value: Text, name: str) -> Text:
    """A string.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {_shown(value)}; wanted a string")
    return value


def check_choice(value: object, name: str, choices: Iterable[str]) -> str:
    """One of a few words.

    Raises:
        TypeError: not a string.
        ValueError: another one.
    """
    if not isinstance(value, str) or value not in tuple(choices):
        wanted = " or ".join(map(repr, choices))
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} is {_shown(value)}; wanted {wanted}")
    return value


def isa_name(isa: str | None) -> str:
    """What the engine calls it: None is "auto", the best one of this CPU (or LPN_ISA)."""
    return "auto" if isa is None else check_text(isa, "isa")


def check_three(value: object, name: str, check: Callable[[Any, str], Number]) -> list[Number]:
    """Three plain arguments, such as one per channel.

    Args:
        value: what the caller passed.
        name: what the caller calls it, for the errors.
        check: of each.

    Raises:
        TypeError: no sequence, or see ``check``.
        ValueError: another number of them, or see ``check``.
    """
    if not isinstance(value, list | tuple | np.ndarray):
        raise TypeError(f"{name} is {_shown(value)}; wanted three numbers")
    if len(value) != 3:
        raise ValueError(f"{name} has {len(value)} values; wanted 3, one per channel")
    return [check(entry, f"{name}[{index}]") for index, entry in enumerate(value)]


def check_id(value: object, name: str) -> int | str:
    """What a data set calls an entry: a whole number, Python's or NumPy's, or text.

    Whole floats, which pandas makes of ids beside missing ones, count as the integers that they
    equal.

    Returns:
        What JSON takes: it refuses NumPy's integers.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, str):
        return value
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    if isinstance(value, bool) or not (whole or isinstance(value, int | np.integer)):
        raise TypeError(f"{name} is {_shown(value)}; wanted a whole number or text")
    return int(value)  # type: ignore[call-overload, no-any-return]


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


def _shown(value: object) -> str:
    """A short value as it is, of a long one its type."""
    if isinstance(value, int) and abs(value) > 10**36:
        # Python refuses to print integers of more than 4300 digits.
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 40 else f"of type {type(value).__name__}"
