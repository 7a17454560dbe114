"""The processes of one run, as torchrun starts them; a plain start is a run of one process."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many.

    Attributes:
        rank: From 0; process 0 validates, logs and saves.
        count: How many.
        local_rank: From 0 on this machine: the index of its GPU.
        control: Group over which the CPUs agree without waiting for the GPUs; None for one process.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    control: distributed.ProcessGroup | None = None

    def agree(self, *values: float) -> list[float]:
        """The largest of each value over all processes: the same answer everywhere."""
        if self.control is None:
            return list(values)
        largest = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.control)
        return [float(value) for value in largest]

    def wait(self) -> None:
        """Until every process is here."""
        if self.control is not None:
            distributed.barrier(group=self.control)


def join_processes(device: str) -> Processes:
    """Find the other processes by torchrun's environment: nccl for "cuda", else gloo.

    A process group that is already there is used as it is.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    local_rank = int(os.environ["LOCAL_RANK"])
    if device == "cuda":
        torch.cuda.set_device(local_rank)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    control = distributed.new_group(backend="gloo")
    return Processes(distributed.get_rank(), count, local_rank, control)


def leave_processes() -> None:
    """Close the process group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
