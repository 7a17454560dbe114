"""Where PyTorch runs."""

from __future__ import annotations

import torch


def open_device(name: str) -> torch.device:
    """The device a configuration or a command line names.

    Args:
        name: As PyTorch spells it: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ValueError: A name PyTorch does not know, or a GPU that it does not see.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device is {name!r}; wanted cpu, cuda or cuda:N: {reason}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device is {name!r}, but PyTorch sees {torch.cuda.device_count()} GPUs here; "
            "wanted one of these, or cpu"
        )
    return device
