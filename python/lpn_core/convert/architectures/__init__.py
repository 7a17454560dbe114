"""Networks: from a state dict of NumPy arrays to a graph with BatchNorm folded in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model.graph import GraphSpec

StateDict = Mapping[str, NDArray[Any]]
Built = tuple[GraphSpec, dict[str, NDArray[np.float32]]]
Builder = Callable[[StateDict], Built]

ARCHITECTURES: dict[str, Builder] = {
    "lpn50": partial(build_lpn, depth=50),
    "lpn101": partial(build_lpn, depth=101),
    "lpn152": partial(build_lpn, depth=152),
}


def build(name: str, state_dict: StateDict) -> Built:
    """Builds the architecture called ``name`` from a state dict.

    Returns:
        The graph and its float32 weights, called ``<node>.<weight>``.

    Raises:
        ValueError: unknown name, or a state dict of another network (its differences are listed).
    """
    try:
        builder = ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"unknown architecture {name!r}; known: {known}") from None
    return builder(state_dict)
