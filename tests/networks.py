"""Random networks for parity tests: state dicts under the official keys, and what runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from lpn_core.convert.architectures.lpn import build_lpn
from numpy.typing import NDArray
from reference_network import lpn_shapes

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """One random LPN: ``attention`` is "gc", "se" or "none", ``init`` "default" or "he"."""

    depth: int
    attention: str
    init: str = "he"

    @property
    def label(self) -> str:
        return f"lpn{self.depth}-{self.attention}-{self.init}"


def random_state(network: Network, joints: int = 17, seed: int = 0) -> State:
    """A state dict in which every array counts; the same for the same arguments.

    "default" draws convolutions as PyTorch does, from U(-1, 1) / sqrt(fan in), "he" from Kaiming's
    N(0, 2 / fan in). Gains are U(0.5, 1.5), shifts and means N(0, 0.1), variances U(0.5, 1.5).
    """
    generator = np.random.default_rng(seed)

    def draw(key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        owner, field = key.rsplit(".", 1)
        weight = shapes.get(f"{owner}.weight", shape)
        norm = len(weight) == 1 or owner.endswith("channel_add_conv.1")
        if field == "running_var" or (norm and field == "weight"):
            return generator.uniform(0.5, 1.5, shape)
        if norm:
            return generator.normal(0, 0.1, shape)
        bound = 1 / np.sqrt(np.prod(weight[1:]))
        if network.init == "he" and len(shape) == 4:
            return generator.normal(0, np.sqrt(2) * bound, shape)
        return generator.uniform(-bound, bound, shape)

    shapes = lpn_shapes(network.depth, network.attention, joints)
    return {
        key: np.array(7) if key.endswith("num_batches_tracked") else draw(key, shape).astype("f4")
        for key, shape in shapes.items()
    }


def compile_state(
    state: State, depth: int, *, threads: int = 1, isa: str = "auto", precision: str = "fp32"
) -> Any:  # _core.CompiledModel
    """The state dict as a compiled model of ours."""
    spec, weights = build_lpn(state, depth)
    return spec.compile(weights, threads=threads, isa=isa, precision=precision)


def random_images(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Normalised images (count, height, width, 3), N(0, 1)."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, height, width, 3), dtype=np.float32)


def run_torch(
    network: Network, state: State, images: NDArray[Any], dtype: str
) -> NDArray[np.float64]:
    """Heatmaps (N, h, w, K) of the training package's module, image by image in ``dtype``."""
    import torch
    from lpn_training.models.lpn import LPN

    attention = None if network.attention == "none" else network.attention
    module = LPN(network.depth, attention, len(state["final_layer.bias"]))
    module.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    module = module.eval().to(getattr(torch, dtype))
    results = []
    # On a busy machine torch's threads spend their time waiting for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for image in images:
                x = torch.from_numpy(image).permute(2, 0, 1)[None].to(getattr(torch, dtype))
                results.append(module(x)[0].permute(1, 2, 0).double().numpy())
    finally:
        torch.set_num_threads(threads)
    return np.stack(results)
