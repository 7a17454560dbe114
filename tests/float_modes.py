"""The floating-point modes that a thread may be in: rounding, and flushing of subnormal numbers."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Bits of the control register: where it lies in glibc's fenv_t, and the modes' values.
_REGISTERS = {
    "x86_64": (28, {"downward": 0x2000, "upward": 0x4000, "towardzero": 0x6000, "flush": 0x8040}),
    "aarch64": (
        0,
        {"downward": 2 << 22, "upward": 1 << 22, "towardzero": 3 << 22, "flush": 1 << 24},
    ),
}
MODES = ("downward", "upward", "towardzero", "flush")
UNAVAILABLE = not (sys.platform == "linux" and platform.machine() in _REGISTERS)


@contextmanager
def float_mode(name: str) -> Iterator[None]:
    """The calling thread computes in this mode; to hold no more than the call under test."""
    offset, modes = _REGISTERS[platform.machine()]
    library = ctypes.CDLL("libm.so.6")
    before = ctypes.create_string_buffer(64)
    library.fegetenv(before)
    changed = ctypes.create_string_buffer(before.raw)
    register = ctypes.c_uint32.from_buffer(changed, offset)
    register.value |= modes[name]
    library.fesetenv(changed)
    try:
        yield
    finally:
        library.fesetenv(before)
