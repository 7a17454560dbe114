"""OpenVINO's CPU plugin: latency hint, static shape, results shared without a copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peers import (
    CALIBRATION,
    CALIBRATION_SEED,
    Session,
    channels_last,
    installed,
    onnxruntime,
    planar,
)

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    return installed("openvino", "openvino", "onnx")


def prepare(network: Network, folder: Path) -> None:
    onnxruntime.prepare(network, folder)
    # Its own format loads faster than ONNX does.
    import openvino

    model = openvino.convert_model(folder / "network.onnx")
    openvino.save_model(model, folder / "network.xml", compress_to_fp16=False)


def quantize(network: Network, folder: Path) -> None:
    import nncf
    import openvino

    images = planar(network.photos(CALIBRATION, CALIBRATION_SEED))
    model = nncf.quantize(
        openvino.Core().read_model(folder / "network.xml"),
        nncf.Dataset([image[None] for image in images]),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(images),
    )
    openvino.save_model(model, folder / "nncf.xml", compress_to_fp16=False)


def load(
    folder: Path, threads: int, batch: int, precision: str = "fp32", form: str = "network"
) -> Session:
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / f"{form}.xml")
    model.reshape({0: [batch, *list(model.input(0).partial_shape)[1:]]})
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()

    def run(images: NDArray[np.float32]) -> Any:
        return request.infer({0: images}, share_inputs=True, share_outputs=True)

    return Session(feed=planar, run=run, heatmaps=lambda result: channels_last(result[0]))
