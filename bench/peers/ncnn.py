"""ncnn: converted by pnnx from a traced module; float32 or bfloat16 storage, packed layouts on.

It has no batch axis: a batch is a loop, as in its users' code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peers import Session, channels_last, installed, planar

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    return installed("ncnn", "ncnn", "pnnx", "torch")


def prepare(network: Network, folder: Path) -> None:
    import pnnx
    import torch

    from peers.torch_graph import make_module

    example = torch.from_numpy(planar(network.images(1)))
    with torch.inference_mode():
        pnnx.export(
            make_module(network.graph, network.weights),
            str(folder / "network.pt"),
            inputs=(example,),
            fp16=False,
        )


def load(folder: Path, threads: int, batch: int, precision: str = "fp32") -> Session:
    import ncnn

    del batch
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for lower in ("fp16_packed", "fp16_storage", "fp16_arithmetic"):
        setattr(net.opt, f"use_{lower}", False)
    for lower in ("bf16_packed", "bf16_storage"):
        setattr(net.opt, f"use_{lower}", precision == "bf16")
    for faster in ("packing_layout", "winograd_convolution", "sgemm_convolution"):
        setattr(net.opt, f"use_{faster}", True)
    for load_file, path in ((net.load_param, "param"), (net.load_model, "bin")):
        if load_file(str(folder / f"network.ncnn.{path}")) != 0:
            raise RuntimeError(f"ncnn cannot load network.ncnn.{path}")
    source, target = net.input_names()[0], net.output_names()[0]

    def run(images: NDArray[np.float32]) -> list[Any]:
        results = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input(source, ncnn.Mat(image))
            status, heatmaps = extractor.extract(target)
            if status != 0:
                raise RuntimeError(f"ncnn returns {status}")
            results.append(heatmaps)
        return results

    return Session(
        feed=planar,
        run=run,
        heatmaps=lambda results: channels_last(np.stack([np.array(mat) for mat in results])),
    )
