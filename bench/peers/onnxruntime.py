"""onnxruntime's CPU provider: all optimisations, sizes fixed, workers spin (its default)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peers import CALIBRATION, CALIBRATION_SEED, Session, channels_last, installed, planar

if TYPE_CHECKING:
    import numpy as np
    from networks import Network
    from numpy.typing import NDArray


def available() -> str | None:
    return installed("onnxruntime", "onnxruntime", "onnx")


def prepare(network: Network, folder: Path) -> None:
    from peers.onnx_graph import to_onnx

    serialised = to_onnx(network.graph, network.weights, network.height, network.width)
    (folder / "network.onnx").write_bytes(serialised)


def quantize(network: Network, folder: Path) -> None:
    """Per channel, bytes without sign times bytes with, the whole range of both."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images = planar(network.photos(CALIBRATION, CALIBRATION_SEED))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self._left, None)
            return None if image is None else {network.graph.input_name: image[None]}

    source = folder / "optimised.onnx"
    quant_pre_process(folder / "network.onnx", source)
    formats = {"qdq": quantization.QuantFormat.QDQ, "qoperator": quantization.QuantFormat.QOperator}
    for form, quant_format in formats.items():
        quantization.quantize_static(
            source,
            folder / f"{form}.onnx",
            Reader(),
            quant_format=quant_format,
            # Attention in integers is no faster, and takes the heatmaps' error from 4% to 27%.
            op_types_to_quantize=["Conv", "MaxPool", "Add"],
            per_channel=True,
            reduce_range=False,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def load(
    folder: Path, threads: int, batch: int, precision: str = "fp32", form: str = "network"
) -> Session:
    import onnxruntime

    del precision

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("n", batch)
    session = onnxruntime.InferenceSession(
        str(folder / f"{form}.onnx"), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return Session(
        feed=lambda images: {name: planar(images)},
        run=lambda feed: session.run(None, feed)[0],
        heatmaps=channels_last,
    )
