"""MNN's CPU backend: precision high (float32), static shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peers import Session, channels_last, installed, onnxruntime, planar

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    return installed("MNN", "MNN", "onnx")


def prepare(network: Network, folder: Path) -> None:
    onnxruntime.prepare(network, folder)
    # MNN.tools would install a package with pip and report the conversion over the network.
    import _tools

    paths = {"--modelFile": "network.onnx", "--MNNModel": "network.mnn"}
    arguments = [part for option, name in paths.items() for part in (option, str(folder / name))]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *arguments])


def load(folder: Path, threads: int, batch: int) -> Session:
    import MNN

    # Not the module interface: it does not keep to the number of threads that it is given.
    interpreter = MNN.Interpreter(str(folder / "network.mnn"))
    options = {"backend": "CPU", "numThread": threads, "precision": "high"}
    session = interpreter.createSession(options)
    image = interpreter.getSessionInput(session)
    interpreter.resizeTensor(image, (batch, *image.getShape()[1:]))
    interpreter.resizeSession(session)
    heatmaps = interpreter.getSessionOutput(session)
    shape, layout = heatmaps.getShape(), MNN.Tensor_DimensionType_Caffe
    result = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), layout)

    def feed(images: NDArray[np.float32]) -> Any:
        values = planar(images)
        return MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, layout)

    def run(images: Any) -> Any:
        image.copyFrom(images)
        interpreter.runSession(session)
        heatmaps.copyToHostTensor(result)
        return result

    return Session(feed=feed, run=run, heatmaps=lambda tensor: channels_last(tensor.getNumpyData()))
