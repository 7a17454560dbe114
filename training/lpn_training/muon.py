"""Muon, whose orthogonal updates the processes of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from lpn_training.distributed import Processes


def multiplications(rows: int, columns: int) -> int:
    """What one Newton-Schulz iteration of a matrix costs: G G^T, its square, and both times G."""
    small, large = sorted((rows, columns))
    return small * small * (2 * large + small)


def share(costs: Sequence[int], count: int) -> list[int]:
    """Which of ``count`` processes does each piece of work: the largest first, to the least busy.

    No process has more than 4/3 of what the best division gives the busiest (Graham 1969).
    """
    loads = [0] * count
    owners = [0] * len(costs)
    for piece in sorted(range(len(costs)), key=lambda index: -costs[index]):
        owners[piece] = loads.index(min(loads))
        loads[owners[piece]] += costs[piece]
    return owners


class SharedMuon(torch.optim.Muon):
    """Muon over matrices whose gradients are the same in every process.

    A process updates its share of the matrices and gets the others from those that own them. All
    keep the momentum of all, so that each one's state is that of a run of one process.

    Args:
        params: Groups of matrices, as ``torch.optim.Muon`` takes them.
        processes: Of the run.
        options: Of ``torch.optim.Muon``.
    """

    def __init__(self, params: Any, processes: Processes, **options: Any) -> None:
        super().__init__(params, **options)
        self.processes = processes
        matrices = [matrix for group in self.param_groups for matrix in group["params"]]
        costs = [multiplications(*matrix.shape) for matrix in matrices]
        self.owners = dict(zip(matrices, share(costs, processes.count), strict=True))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all matrices; every process calls it."""
        if self.processes.count == 1:
            return super().step(closure)  # type: ignore[no-untyped-call]
        assert closure is None
        for group in self.param_groups:
            for matrix in group["params"]:
                if self.owners[matrix] != self.processes.rank:
                    self._remember(matrix, group["momentum"])
                    matrix.grad = None
        super().step()  # type: ignore[no-untyped-call]
        self._exchange()
        return None

    def _remember(self, matrix: Tensor, momentum: float) -> None:
        """Take the gradient of another's matrix into its momentum, as its owner does."""
        if matrix.grad is None:
            return
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)

    def _exchange(self) -> None:
        """Bring every matrix from its owner to all processes, in one message of each owner."""
        messages = []
        for rank in range(self.processes.count):
            owned = [matrix for matrix, owner in self.owners.items() if owner == rank]
            if not owned:
                continue
            packed = torch.cat([matrix.reshape(-1) for matrix in owned])
            work = distributed.broadcast(packed, rank, async_op=True)
            messages.append((rank, owned, packed, work))
        for rank, owned, packed, work in messages:
            assert work is not None
            work.wait()
            if rank != self.processes.rank:
                parts = torch.split(packed, [matrix.numel() for matrix in owned])
                for matrix, part in zip(owned, parts, strict=True):
                    matrix.copy_(part.view_as(matrix))
