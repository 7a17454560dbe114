"""Reading a state dict key by key, with all of its differences reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BATCH_NORM_EPSILON = 1e-5
# Of a list of keys in an error, so many: another network differs in hundreds.
_SHOWN = 5


def network_arrays(state_dict: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A state dict without the prefix ``module.`` of data-parallel training and without counters.

    Raises:
        ValueError: a name is there with the prefix and without it.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for key, array in state_dict.items():
        name = key.removeprefix("module.")
        if name.endswith("num_batches_tracked"):
            continue
        if name in arrays:
            raise ValueError(f"the state dict holds {name!r} with and without 'module.'")
        arrays[name] = np.asarray(array)
    return arrays


class StateReader:
    """Hands out arrays of a state dict, remembering what was missing, misshapen or never asked for.

    A missing or misshapen array is handed out as zeros, so that one pass finds every difference;
    :meth:`finish` raises them.
    """

    def __init__(self, state_dict: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state dict; see :func:`network_arrays`."""
        self._arrays = network_arrays(state_dict)
        self._unread = dict.fromkeys(self._arrays)
        self._missing: list[str] = []
        self._wrong: list[str] = []

    def shape(self, key: str) -> tuple[int, ...] | None:
        """The shape of an array, or None where there is none."""
        return self._arrays[key].shape if key in self._arrays else None

    def names(self) -> list[str]:
        """The names of all arrays, without ``module.``."""
        return list(self._arrays)

    def take(self, key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The array ``key`` in float64, or zeros where it is missing or of another shape."""
        array = self._arrays.get(key)
        if array is None:
            self._missing.append(key)
            return np.zeros(shape)
        self._unread.pop(key, None)
        if array.shape != shape:
            self._wrong.append(f"{key} is {array.shape}, wanted {shape}")
            return np.zeros(shape)
        if array.dtype.kind != "f":
            self._wrong.append(f"{key} is {array.dtype}, wanted a floating type")
            return np.zeros(shape)
        if not np.isfinite(array).all():
            self._wrong.append(f"{key} holds NaN or infinity")
            return np.zeros(shape)
        return array.astype(np.float64)

    def take_batch_norm(
        self, key: str, channels: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """BatchNorm ``key`` in evaluation mode as (scale, shift), both (channels,) float64."""
        shape = (channels,)
        weight = self.take(f"{key}.weight", shape)
        bias = self.take(f"{key}.bias", shape)
        mean = self.take(f"{key}.running_mean", shape)
        variance = self.take(f"{key}.running_var", shape)
        if (variance < 0).any():
            self._wrong.append(f"{key}.running_var is negative")
            variance = np.abs(variance)
        scale = weight / np.sqrt(variance + _BATCH_NORM_EPSILON)
        return scale, bias - mean * scale

    def finish(self, network: str) -> None:
        """Checks that the state dict was exactly that of ``network``.

        Raises:
            ValueError: it was not; the first missing, left-over and misshapen keys are listed.
        """
        parts = [
            f"{len(entries)} {what}: {_shortened(entries)}"
            for what, entries in (
                ("missing", self._missing),
                ("left over", list(self._unread)),
                ("wrong", self._wrong),
            )
            if entries
        ]
        if parts:
            raise ValueError(f"this is not a state dict of {network}; " + "; ".join(parts))


def _shortened(entries: list[str]) -> str:
    more = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
