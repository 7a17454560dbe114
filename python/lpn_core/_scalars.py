"""Plain arguments: errors that name them, where the extension could only list its signatures."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, TypeVar

import numpy as np

Number = TypeVar("Number", int, float)

# The extension's float32 numbers, but for subnormal ones.
_LARGEST, _TINIEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


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


def check_text(value: object, name: str) -> str:
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


def _shown(value: object) -> str:
    """A short value as it is, of a long one its type."""
    if isinstance(value, int) and abs(value) > 10**36:
        # Python refuses to print integers of more than 4300 digits.
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 40 else f"of type {type(value).__name__}"
