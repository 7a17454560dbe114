"""onnxruntime's CPU provider: all optimisations, sizes fixed, workers spin (its default)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peers import Session, channels_last, installed, planar

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    return installed("onnxruntime", "onnxruntime", "onnx")


def prepare(network: Network, folder: Path) -> None:
    from peers.onnx_graph import to_onnx

    serialised = to_onnx(network.graph, network.weights, network.height, network.width)
    (folder / "network.onnx").write_bytes(serialised)


def load(folder: Path, threads: int, batch: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("n", batch)
    session = onnxruntime.InferenceSession(
        str(folder / "network.onnx"), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return Session(
        feed=lambda images: {name: planar(images)},
        run=lambda feed: session.run(None, feed)[0],
        heatmaps=channels_last,
    )
