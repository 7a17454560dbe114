"""What an engine is told of a network that it is to run in 8-bit integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lpn_core import _core
    from lpn_core.model.quantization import Quantization
    from lpn_core.model.spec import InputSpec


def set_scales(graph: _core.Graph, quantization: Quantization, spec: InputSpec) -> None:
    """Tells an engine's graph what it needs to run in int8, on pixels in RGB order.

    Raises:
        ValueError: a scale that the engine does not take.
    """
    for name, entry in quantization.tensors.items():
        graph.set_quantization(name, entry.scale, entry.zero_point)
    for name in quantization.float_nodes:
        graph.keep_float(name)
    graph.set_pixels(spec.channel_map("rgb"), spec.scale, spec.shift)
