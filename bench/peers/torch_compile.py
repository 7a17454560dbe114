"""PyTorch compiled by inductor with frozen weights; needs a C++ compiler."""

from __future__ import annotations

from pathlib import Path

from peers import Session, torch_eager

available = torch_eager.available
prepare = torch_eager.prepare


def load(folder: Path, threads: int, batch: int, precision: str = "fp32") -> Session:
    import torch
    import torch._inductor.config

    del batch
    # Weights become constants, which oneDNN may pack once.
    torch._inductor.config.freezing = True
    compiled = torch.compile(torch_eager.load_module(folder, precision))
    return torch_eager.make_session(compiled, threads, precision)
