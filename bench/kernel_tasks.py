"""One kernel case as a task of ours, PyTorch's, onnxruntime's or OpenCV's; all on one thread.

A graph case is a network of one node for everybody: weights are packed and shapes fixed before the
clock runs, as in their users' code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernel_cases
import numpy as np
from kernel_cases import BETA, CROP_HEIGHT, CROP_WIDTH, Case
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD
from numpy.typing import NDArray
from peers import Session
from peers.task import NetworkTask

SCALE = tuple(1 / (255 * std) for std in IMAGENET_STD)
SHIFT = tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))


class Function:
    """A call that is timed, and its result in the common form."""

    def __init__(self, call: Callable[[], Any], common: Callable[[Any], Any] = np.asarray) -> None:
        self.run = call
        self._common = common

    def answer(self) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._common(self.run())
        return result


def lpn_core(case: Case, isa: str) -> object:
    """Ours, on one tier."""
    from lpn_core import _core

    if case.is_graph:
        net = kernel_cases.graph_case(case)
        model = net.graph.compile(net.weights, threads=1, isa=isa)
        return NetworkTask(Session(lambda x: x, model.run, lambda y: y), net.images(1))
    if case.op == "crop_affine":
        image = kernel_cases.photo(case)
        matrices = kernel_cases.crop_matrix()[None]
        size = CROP_HEIGHT, CROP_WIDTH
        return Function(
            lambda: _core.crop_affine(image, matrices, *size, (0, 1, 2), SCALE, SHIFT, isa, 1)[0]
        )
    heatmaps = kernel_cases.heatmaps(case)
    if case.op == "argmax":
        return Function(lambda: _core.argmax(heatmaps, "nchw", False, isa)[0])
    return Function(lambda: _core.soft_argmax(heatmaps, "nchw", BETA, False, isa)[0])


def plan(case: Case, isa: str) -> list[str]:
    """Registered kernels that a graph case runs."""
    net = kernel_cases.graph_case(case)
    model = net.graph.compile(net.weights, threads=1, isa=isa)
    return [str(step["kernel"]) for step in model.steps(net.height, net.width)]


def torch_nchw(case: Case) -> object:
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    if case.is_graph:
        return _torch_graph(case, torch.contiguous_format)
    heatmaps = torch.from_numpy(kernel_cases.heatmaps(case)).flatten(2)
    width = case.input[3]
    places = torch.from_numpy(_places(case))

    def argmax() -> Any:
        with torch.inference_mode():
            scores, index = heatmaps.max(dim=2)
            found = torch.stack([index % width, index // width], dim=2)
            return found * (scores > 0).unsqueeze(2)

    def soft_argmax() -> Any:
        with torch.inference_mode():
            return torch.softmax(heatmaps * BETA, dim=2) @ places

    return Function(argmax if case.op == "argmax" else soft_argmax)


def torch_nhwc(case: Case) -> object:
    """PyTorch, eager, channels-last memory."""
    import torch

    torch.set_num_threads(1)
    return _torch_graph(case, torch.channels_last)


def _torch_graph(case: Case, memory_format: Any) -> object:
    import torch
    from peers import planar
    from peers.torch_graph import make_module

    net = kernel_cases.graph_case(case)
    module: Any = make_module(net.graph, net.weights)
    module = module.to(memory_format=memory_format)

    def feed(images: NDArray[np.float32]) -> Any:
        return torch.from_numpy(planar(images)).contiguous(memory_format=memory_format)

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return module(images)

    def common(result: Any) -> NDArray[np.float32]:
        array: NDArray[np.float32] = result.permute(0, 2, 3, 1).contiguous().numpy()
        return array

    return NetworkTask(Session(feed, run, common), net.images(1))


def onnxruntime(case: Case) -> object:
    """onnxruntime, a session of the one operation."""
    if case.is_graph:
        from peers import onnxruntime

        net = kernel_cases.graph_case(case)
        with tempfile.TemporaryDirectory() as folder:
            onnxruntime.prepare(net, Path(folder))
            return NetworkTask(onnxruntime.load(Path(folder), 1, 1), net.images(1))
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads = 1
    session = engine.InferenceSession(_heatmap_model(case), options)
    feed = {"heatmaps": kernel_cases.heatmaps(case)}
    if case.op == "soft_argmax":
        return Function(lambda: session.run(None, feed)[0])

    def common(result: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        index, scores = result
        found = np.stack([index % case.input[3], index // case.input[3]], axis=2)
        return found * (scores > 0)[..., None]

    return Function(lambda: session.run(None, feed), common)


def _heatmap_model(case: Case) -> bytes:
    from onnx import TensorProto, helper, numpy_helper
    from peers.onnx_graph import OPSET

    n, k, h, w = case.input
    constants = [numpy_helper.from_array(np.array([n, k, h * w]), "flat_shape")]
    nodes = [helper.make_node("Reshape", ["heatmaps", "flat_shape"], ["flat"])]
    if case.op == "soft_argmax":
        constants.append(numpy_helper.from_array(np.array(BETA, np.float32), "beta"))
        constants.append(numpy_helper.from_array(_places(case), "places"))
        nodes.append(helper.make_node("Mul", ["flat", "beta"], ["scaled"]))
        nodes.append(helper.make_node("Softmax", ["scaled"], ["weights"], axis=-1))
        nodes.append(helper.make_node("MatMul", ["weights", "places"], ["found"]))
        outputs = [helper.make_tensor_value_info("found", TensorProto.FLOAT, [n, k, 2])]
    else:
        nodes.append(helper.make_node("ArgMax", ["flat"], ["index"], axis=2, keepdims=0))
        nodes.append(helper.make_node("ReduceMax", ["flat"], ["scores"], axes=[2], keepdims=0))
        outputs = [
            helper.make_tensor_value_info("index", TensorProto.INT64, [n, k]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, k]),
        ]
    inputs = [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, list(case.input))]
    graph = helper.make_graph(nodes, case.op, inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def opencv(case: Case) -> object:
    """OpenCV's warp, and one lookup table per channel for the normalisation."""
    import cv2

    cv2.setNumThreads(1)
    image = kernel_cases.photo(case)
    matrix = kernel_cases.crop_matrix()
    tables = [
        (np.arange(256) * scale + shift).astype(np.float32)
        for scale, shift in zip(SCALE, SHIFT, strict=True)
    ]
    crop = np.empty((3, CROP_HEIGHT, CROP_WIDTH), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def run() -> NDArray[np.float32]:
        pixels = cv2.warpAffine(image, matrix, (CROP_WIDTH, CROP_HEIGHT), flags=flags)
        for plane, table, target in zip(cv2.split(pixels), tables, crop, strict=True):
            cv2.LUT(plane, table, target)
        return crop

    return Function(run, lambda planes: np.array(planes.transpose(1, 2, 0), order="C"))


def _places(case: Case) -> NDArray[np.float32]:
    """(H W, 2) x and y of each position."""
    h, w = case.input[2:]
    y, x = np.mgrid[:h, :w]
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
