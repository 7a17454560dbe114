"""PyTorch as it is, BatchNorm folded, in inference mode and channels-last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peers import Session, installed

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    return installed("torch", "torch")


def prepare(network: Network, folder: Path) -> None:
    import torch

    from peers.torch_graph import make_module

    torch.save(make_module(network.graph, network.weights), folder / "module.pt")


def load(folder: Path, threads: int, batch: int, precision: str = "fp32") -> Session:
    del batch
    return make_session(load_module(folder, precision), threads, precision)


def load_module(folder: Path, precision: str) -> Any:
    """The module with channels-last weights of a precision."""
    import torch

    module = torch.load(folder / "module.pt", weights_only=False)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return module.to(dtype=dtype, memory_format=torch.channels_last)


def make_session(module: Any, threads: int, precision: str) -> Session:
    """A session of a module on (N, C, H, W) tensors whose memory is channels-last."""
    import torch

    torch.set_num_threads(threads)

    def feed(images: NDArray[np.float32]) -> Any:
        values = torch.from_numpy(images).permute(0, 3, 1, 2)
        return values.bfloat16() if precision == "bf16" else values

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return module(images)

    def heatmaps(result: Any) -> NDArray[np.float32]:
        array: NDArray[np.float32] = result.permute(0, 2, 3, 1).contiguous().float().numpy()
        return array

    return Session(feed=feed, run=run, heatmaps=heatmaps)
