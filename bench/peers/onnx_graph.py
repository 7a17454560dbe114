"""A GraphSpec as an ONNX model, so that other engines run exactly our network and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from lpn_core.model.graph import GraphSpec, NodeSpec
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class _Writer:
    """Collects nodes and initialisers; every method returns the name of the tensor it makes."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def reshape(self, x: str, output: str, shape: list[int]) -> str:
        return self.op(
            "Reshape", [x, self.constant(f"{output}.shape", np.array(shape, np.int64))], output
        )

    def conv1x1(self, x: str, output: str, weight: NDArray[np.float32], bias: str = "") -> str:
        kernel = self.constant(f"{output}.kernel", weight.reshape(*weight.shape, 1, 1))
        return self.op("Conv", [x, kernel, *([bias] if bias else [])], output)

    def activation(self, x: str, kind: object, output: str) -> None:
        if kind == "relu":
            self.op("Relu", [x], output)
        elif kind == "relu6":
            bounds = [
                self.constant(f"{output}.{end}", np.array(value, np.float32))
                for end, value in (("low", 0), ("high", 6))
            ]
            self.op("Clip", [x, *bounds], output)
        else:
            raise ValueError(f"activation {kind!r} has no ONNX form here")

    def node(self, node: NodeSpec) -> None:
        attributes = dict(node.attributes)
        activation = attributes.pop("activation", "none")
        target = node.name if activation == "none" else f"{node.name}.linear"
        getattr(self, f"_{node.kind}")(node, attributes, target)
        if activation != "none":
            self.activation(target, activation, node.name)

    def _weight(self, node: NodeSpec, weight: str) -> NDArray[np.float32]:
        return self.weights[f"{node.name}.{weight}"]

    def _spatial(self, kind: str, node: NodeSpec, attributes: dict[str, object], out: str) -> str:
        constants = [self.constant(f"{node.name}.{w}", self._weight(node, w)) for w in node.weights]
        stride, padding = attributes["stride"], attributes["padding"]
        shape: dict[str, Any] = {"strides": [stride] * 2, "pads": [padding] * 4}
        if "kernel" in attributes:
            shape["kernel_shape"] = [attributes["kernel"]] * 2
        else:
            shape["group"] = attributes["groups"]
        return self.op(kind, [*node.inputs, *constants], out, **shape)

    def _conv2d(self, node: NodeSpec, attributes: dict[str, object], out: str) -> None:
        self._spatial("Conv", node, attributes, out)

    def _conv_transpose2d(self, node: NodeSpec, attributes: dict[str, object], out: str) -> None:
        self._spatial("ConvTranspose", node, attributes, out)

    def _max_pool2d(self, node: NodeSpec, attributes: dict[str, object], out: str) -> None:
        self._spatial("MaxPool", node, attributes, out)

    def _add(self, node: NodeSpec, _attributes: dict[str, object], out: str) -> None:
        self.op("Add", list(node.inputs), out)

    def _concat(self, node: NodeSpec, _attributes: dict[str, object], out: str) -> None:
        self.op("Concat", list(node.inputs), out, axis=1)

    def _global_avg_pool(self, node: NodeSpec, _attributes: dict[str, object], out: str) -> None:
        self.op("GlobalAveragePool", list(node.inputs), out)

    def _upsample_nearest(self, node: NodeSpec, attributes: dict[str, Any], out: str) -> None:
        factor = float(attributes["factor"])
        scales = self.constant(f"{out}.scales", np.array([1, 1, factor, factor], np.float32))
        how = {"mode": "nearest", "nearest_mode": "floor"}
        how["coordinate_transformation_mode"] = "asymmetric"
        self.op("Resize", [node.inputs[0], "", scales], out, **how)

    def _gc_block(self, node: NodeSpec, attributes: dict[str, object], out: str) -> None:
        x, name = node.inputs[0], node.name
        mask = self._weight(node, "mask_weight")
        hidden = len(self._weight(node, "b1"))
        bias = {
            w: self.constant(f"{name}.{w}", self._weight(node, w))
            for w in ("mask_bias", "b1", "norm_weight", "norm_bias", "b2")
        }
        logits = self.conv1x1(x, f"{name}.logits", mask.reshape(1, -1), bias["mask_bias"])
        rows = self.reshape(logits, f"{name}.rows", [0, 1, -1])
        weights = self.op("Softmax", [rows], f"{name}.weights", axis=-1)
        columns = self.reshape(weights, f"{name}.columns", [0, -1, 1])
        flat = self.reshape(x, f"{name}.flat", [0, len(mask), -1])
        context = self.op("MatMul", [flat, columns], f"{name}.context")
        context = self.reshape(context, f"{name}.context4", [0, len(mask), 1, 1])
        y = self.conv1x1(context, f"{name}.hidden", self._weight(node, "w1"), bias["b1"])
        y = self.reshape(y, f"{name}.hidden2", [0, hidden])
        y = self.op(
            "LayerNormalization",
            [y, bias["norm_weight"], bias["norm_bias"]],
            f"{name}.norm",
            axis=-1,
            epsilon=float(str(attributes["epsilon"])),
        )
        y = self.op("Relu", [y], f"{name}.relu")
        y = self.reshape(y, f"{name}.relu4", [0, hidden, 1, 1])
        y = self.conv1x1(y, f"{name}.added", self._weight(node, "w2"), bias["b2"])
        self.op("Add", [x, y], out)

    def _se_block(self, node: NodeSpec, _attributes: dict[str, object], out: str) -> None:
        x, name = node.inputs[0], node.name
        y = self.op("GlobalAveragePool", [x], f"{name}.mean")
        y = self.conv1x1(y, f"{name}.hidden", self._weight(node, "w1"))
        y = self.op("Relu", [y], f"{name}.relu")
        y = self.conv1x1(y, f"{name}.logits", self._weight(node, "w2"))
        self.op("Mul", [x, self.op("Sigmoid", [y], f"{name}.gate")], out)


def to_onnx(
    graph: GraphSpec,
    weights: Mapping[str, NDArray[np.float32]],
    height: int | None = None,
    width: int | None = None,
) -> bytes:
    """The network as a serialised ONNX model, (N, C, H, W) -> (N, K, h, w); N is left open.

    Args:
        graph: the network.
        weights: float32 arrays called ``<node>.<weight>``.
        height: H; None leaves it open.
        width: W; None leaves it open.

    Raises:
        ValueError: A node kind or activation has no ONNX form here.
    """
    writer = _Writer(weights)
    for node in graph.nodes:
        if not hasattr(writer, f"_{node.kind}"):
            raise ValueError(f"node {node.name!r}: kind {node.kind!r} has no ONNX form here")
        writer.node(node)
    shape: list[str | int] = ["n", graph.input_channels, height or "height", width or "width"]
    image = helper.make_tensor_value_info(graph.input_name, TensorProto.FLOAT, shape)
    heatmaps = helper.make_tensor_value_info(
        graph.outputs[0], TensorProto.FLOAT, ["n", None, None, None]
    )
    model = helper.make_model(
        helper.make_graph(writer.nodes, "lpn", [image], [heatmaps], writer.initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
