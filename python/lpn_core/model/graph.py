"""A network as data: what builders make, model files hold and the engine compiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lpn_core import _core
from lpn_core._checks import isa_name
from lpn_core._records import dataclass, field
from lpn_core.model.safetensors import StoredArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

Attribute = int | float | str


@dataclass(frozen=True)
class NodeSpec:
    """One operation; its output tensor has its name.

    Attributes:
        kind: one of the node kinds of docs/model-file.md.
        name: unique within the graph.
        inputs: names of the tensors it reads.
        attributes: every attribute of the kind, none left to a default.
        weights: names of its weights; the array of weight ``w`` is called ``<name>.<w>``.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphSpec:
    """Nodes in an order in which each comes after those it reads.

    Attributes:
        input_name: name of the input tensor, (N, H, W, input_channels) float32.
        nodes: the operations.
        outputs: names of the tensors the network returns, at least one; a pose network's heatmaps
            come first.
    """

    input_name: str
    input_channels: int
    nodes: tuple[NodeSpec, ...]
    outputs: tuple[str, ...]

    def weight_names(self) -> list[str]:
        """Names of all weight arrays, in node order."""
        return [f"{node.name}.{weight}" for node in self.nodes for weight in node.weights]

    def build(self, weights: Mapping[str, NDArray[np.float32]]) -> _core.Graph:
        """The graph as the engine holds it.

        Args:
            weights: float32 arrays called ``<node>.<weight>``; those of a file are not copied.

        Raises:
            ValueError: it is not consistent; the message names the node.
        """
        array = weights.for_engine if isinstance(weights, StoredArrays) else weights.__getitem__
        graph = _core.Graph()
        graph.add_input(self.input_name, self.input_channels)
        for node in self.nodes:
            arrays = {weight: array(f"{node.name}.{weight}") for weight in node.weights}
            graph.add_node(node.kind, node.name, node.inputs, node.attributes, arrays)
        for output in self.outputs:
            graph.add_output(output)
        return graph

    def compile(
        self,
        weights: Mapping[str, NDArray[np.float32]],
        *,
        threads: int | None,
        isa: str | None,
        precision: str = "fp32",
    ) -> _core.CompiledModel:
        """Compiles the network for this CPU.

        Args:
            weights: as :meth:`build` takes them.
            threads: at least 1; None for the allowed physical cores.
            isa: one of ``lpn_core.supported_isas()``; None for the best one.
            precision: as :class:`lpn_core.Model` takes it.

        Raises:
            ValueError: the graph is not consistent (the message names the node), or a bad option.
        """
        return _core.CompiledModel(
            self.build(weights), threads or 0, isa_name(isa), precision=precision
        )
