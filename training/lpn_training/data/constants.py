"""Small constant tensors, made once for each device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def constant(
    values: Sequence[float], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """(N,) tensor of ``values``, not to be changed: every caller gets the same one.

    Making one anew copies it from the host's memory, for which a GPU stops: the CPU could never
    run ahead of it.
    """
    return _made(tuple(values), device, dtype)


@lru_cache(maxsize=256)
def _made(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)
