"""PyTorch compiled by inductor with frozen weights; needs a C++ compiler."""

from __future__ import annotations

from pathlib import Path

from peers import Session, torch_eager

available = torch_eager.available
prepare = torch_eager.prepare


def load(folder: Path, threads: int, batch: int) -> Session:
    import torch
    import torch._inductor.config

    del batch
    # Weights become constants, which oneDNN may pack once.
    torch._inductor.config.freezing = True
    module = torch.load(folder / "module.pt", weights_only=False)
    compiled = torch.compile(module.to(memory_format=torch.channels_last))
    return torch_eager.make_session(compiled, threads)
