"""Where PyTorch runs."""

from __future__ import annotations

import torch

from lpn_training.distributed import Processes


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


def training_device(name: str, processes: Processes) -> torch.device:
    """Open the device of one of a run's processes, set for speed.

    Raises:
        ValueError: There is none; the message says what to do.
    """
    local = f":{processes.local_rank}" if processes.count > 1 and name == "cuda" else ""
    try:
        device = open_device(name + local)
    except ValueError as error:
        raise ValueError(f"train.{error}: --set train.device=cpu") from None
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return device
