"""Random networks for parity tests: PyTorch modules, and their weights compiled by us."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from lpn_core.architectures.lpn import build_lpn
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

CONVOLUTIONS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
TRAINING = Path(__file__).resolve().parents[1] / "training"


@dataclass(frozen=True)
class Network:
    """One random LPN: ``attention`` is "gc", "se" or "none", ``init`` "default" or "he"."""

    depth: int
    attention: str
    init: str = "he"

    @property
    def label(self) -> str:
        return f"lpn{self.depth}-{self.attention}-{self.init}"


def lpn_module() -> ModuleType:
    """``lpn_training.models.lpn``, from the installed package or else from the checkout."""
    if importlib.util.find_spec("lpn_training") is None:
        sys.path.append(str(TRAINING))
    return importlib.import_module("lpn_training.models.lpn")


def randomise(module: Any, init: str) -> None:
    """Draws every weight anew, from torch's global generator.

    "default" is PyTorch's own initialisation, "he" Kaiming's normal one for every convolution.
    BatchNorm gets a running mean N(0, 0.1), running variance and weight U(0.5, 1.5) and bias
    N(0, 0.1).
    """
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.1)
        elif hasattr(part, "reset_parameters"):
            part.reset_parameters()
            if init == "he" and isinstance(part, CONVOLUTIONS):
                torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")


def make_module(network: Network, joints: int = 17, seed: int = 0) -> Any:
    """The PyTorch module in eval mode, float32; the same for the same arguments."""
    attention = None if network.attention == "none" else network.attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = lpn_module().LPN(network.depth, attention, joints)
        randomise(module, network.init)
    return module.eval()


def compile_module(module: Any, depth: int, *, threads: int = 1, isa: str = "auto") -> Any:
    """The module's weights as a ``_core.CompiledModel``."""
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    spec, weights = build_lpn(state, depth)
    return spec.compile(weights, threads=threads, isa=isa)


def random_images(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Normalised images (count, height, width, 3), N(0, 1)."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, height, width, 3), dtype=np.float32)


def run_torch(module: Any, images: NDArray[Any], dtype: Any) -> NDArray[np.float64]:
    """Heatmaps (N, h, w, K) in float64 of the module run image by image in ``dtype``."""
    module = module.to(dtype)
    results = []
    # On a busy machine torch's threads spend their time waiting for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for image in images:
                x = torch.from_numpy(image).permute(2, 0, 1)[None].to(dtype)
                results.append(module(x)[0].permute(1, 2, 0).double().numpy())
    finally:
        torch.set_num_threads(threads)
        module.float()
    return np.stack(results)
