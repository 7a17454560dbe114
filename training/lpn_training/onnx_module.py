"""Run a convolutional ONNX model as a PyTorch module, on any device and in any float type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Step = Callable[[dict[str, Tensor]], Tensor]


class OnnxModule(nn.Module):
    """One-input, one-output ONNX model; its weights are buffers, never trained.

    Supports what PP-TinyPose uses: Conv (a constant Add after it becomes the bias), Add, Relu,
    Slice, Concat, Reshape, Transpose, and Resize (nearest-floor-asymmetric, linear with aligned
    corners). Any other operator, or a form of these that is not listed, is a ValueError.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        nodes = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            else:
                nodes.append((node, attributes))
        uses: dict[str, int] = {}
        for node, _ in nodes:
            for name in node.input:
                uses[name] = uses.get(name, 0) + 1

        self.input_name = next(i.name for i in graph.input if i.name not in constants)
        self.output_name = graph.output[0].name
        self._steps: list[tuple[str, Step]] = []
        biases = _bias_adds(nodes, constants, uses)
        folded = {node.output[0] for node, _ in biases.values()}
        for node, attributes in nodes:
            output = node.output[0]
            if output in folded:
                continue
            if node.op_type == "Conv" and output in biases:
                add, bias = biases[output]
                step = self._conv(node, attributes, constants, bias)
                output = add.output[0]
            else:
                builder = getattr(self, f"_{node.op_type.lower()}", None)
                if builder is None:
                    raise ValueError(f"{path}: operator {node.op_type} is not supported")
                step = builder(node, attributes, constants)
            self._steps.append((output, step))
        last_use = {self.output_name: len(self._steps)}
        produced = {name: index for index, (name, _) in enumerate(self._steps)}
        for node, _ in nodes:
            consumer = produced.get(node.output[0], len(self._steps))
            for name in node.input:
                last_use[name] = max(last_use.get(name, 0), consumer)
        self._release: list[list[str]] = [[] for _ in range(len(self._steps) + 1)]
        for name, index in last_use.items():
            if name in produced:
                self._release[index].append(name)

    def forward(self, x: Tensor) -> Tensor:
        values = {self.input_name: x}
        for (name, step), finished in zip(self._steps, self._release, strict=False):
            values[name] = step(values)
            for old in finished:
                values.pop(old, None)
        return values[self.output_name]

    def _buffer(self, value: Any) -> str:
        name = f"weight_{len(self._buffers)}"
        self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))
        return name

    def _conv(self, node: Any, attributes: Any, constants: Any, bias: Any = None) -> Step:
        source, pads = node.input[0], attributes.get("pads", [0, 0, 0, 0])
        if pads[:2] != pads[2:] or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise ValueError(f"{node.name}: Conv needs equal explicit pads, got {pads}")
        if len(node.input) > 2:
            bias = constants[node.input[2]] + (0 if bias is None else bias)
        weight = self._buffer(constants[node.input[1]])
        offset = None if bias is None else self._buffer(bias)
        stride, dilation = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
        groups, padding = attributes.get("group", 1), pads[:2]

        def step(values: dict[str, Tensor]) -> Tensor:
            b = None if offset is None else getattr(self, offset)
            w = getattr(self, weight)
            return functional.conv2d(values[source], w, b, stride, padding, dilation, groups)

        return step

    def _add(self, node: Any, attributes: Any, constants: Any) -> Step:
        first, second = node.input
        if second in constants:
            name = self._buffer(constants[second])
            return lambda values: values[first] + getattr(self, name)
        return lambda values: values[first] + values[second]

    def _relu(self, node: Any, attributes: Any, constants: Any) -> Step:
        source = node.input[0]
        return lambda values: functional.relu(values[source])

    def _concat(self, node: Any, attributes: Any, constants: Any) -> Step:
        sources, axis = list(node.input), attributes["axis"]
        return lambda values: torch.cat([values[name] for name in sources], dim=axis)

    def _transpose(self, node: Any, attributes: Any, constants: Any) -> Step:
        source, order = node.input[0], list(attributes["perm"])
        return lambda values: values[source].permute(order)

    def _reshape(self, node: Any, attributes: Any, constants: Any) -> Step:
        source, shape = node.input[0], constants[node.input[1]].tolist()
        return lambda values: values[source].reshape(shape)

    def _slice(self, node: Any, attributes: Any, constants: Any) -> Step:
        source = node.input[0]
        start, end, axis = (constants[name].tolist() for name in node.input[1:4])
        if len(start) != 1 or len(node.input) > 4:
            raise ValueError(f"{node.name}: Slice of one axis with step 1 is supported")
        return lambda values: values[source].narrow(axis[0], start[0], end[0] - start[0])

    def _resize(self, node: Any, attributes: Any, constants: Any) -> Step:
        source, mode = node.input[0], attributes["mode"]
        transform = attributes.get("coordinate_transformation_mode")
        if mode == b"nearest" and transform == b"asymmetric" and len(node.input) == 3:
            scale = constants[node.input[2]].tolist()
            factors = (int(scale[2]), int(scale[3]))
            if scale != [1.0, 1.0, float(factors[0]), float(factors[1])]:
                raise ValueError(f"{node.name}: Resize by {scale}; whole factors are supported")

            def nearest(values: dict[str, Tensor]) -> Tensor:
                # Written as a broadcast copy: exact for whole factors and cheap to compile.
                x = values[source]
                n, c, h, w = x.shape
                fy, fx = factors
                big = x[:, :, :, None, :, None].expand(n, c, h, fy, w, fx)
                return big.reshape(n, c, h * fy, w * fx)

            return nearest
        if mode == b"linear" and transform == b"align_corners" and len(node.input) == 4:
            size = constants[node.input[3]].tolist()[2:]
            return lambda values: functional.interpolate(
                values[source], size=size, mode="bilinear", align_corners=True
            )
        raise ValueError(f"{node.name}: Resize mode {mode!r}, {transform!r} is not supported")


def _bias_adds(nodes: Any, constants: Any, uses: dict[str, int]) -> dict[str, tuple[Any, Any]]:
    """Conv outputs whose only reader adds a constant (1, C, 1, 1): output -> (Add, bias (C,))."""
    convs = {node.output[0] for node, _ in nodes if node.op_type == "Conv"}
    found = {}
    for node, _ in nodes:
        if node.op_type != "Add" or node.input[1] not in constants:
            continue
        value = constants[node.input[1]]
        source = node.input[0]
        per_channel = value.ndim == 4 and value.size == value.shape[1]
        if source in convs and uses[source] == 1 and per_channel:
            found[source] = (node, value.reshape(-1))
    return found
