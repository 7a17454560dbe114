"""What a model file says of a network in 8-bit integers: its maps' scales, and who stays float."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lpn_core._records import dataclass
from lpn_core._text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core.model.graph import GraphSpec, NodeSpec

# Kinds whose products are taken in integers, and the scales of their weights.
PRODUCT_KINDS = ("conv2d", "conv_transpose2d")
WEIGHT_SCALE = "weight_scale"
# What float32 holds at full precision: scales are multiplied and divided by each other.
_SCALE_RANGE = (1e-18, 1e18)


@dataclass(frozen=True)
class MapScale:
    """A map's bytes: the byte q stands for ``scale * (q - zero_point)``.

    Attributes:
        scale: greater than 0; of float32.
        zero_point: the byte that stands for 0, from 0 to 255; 0 for what a ReLU has made.
    """

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        low, high = _SCALE_RANGE
        if not low <= self.scale <= high:  # a NaN is neither; an integer may have any size
            raise ValueError(
                f"scale is {reprlib.repr(self.scale)}; wanted a number from {low:g} to {high:g}"
            )
        if not 0 <= self.zero_point <= 255:
            raise ValueError(f"zero_point is {reprlib.repr(self.zero_point)}; wanted 0 to 255")


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a network computes in 8-bit integers.

    The scales of its weights are weights themselves, called ``<node>.weight_scale``.

    Attributes:
        tensors: the scales of maps by name; a map without stays float.
        float_nodes: names of the nodes that stay in floating point.
        images: how many crops the scales were found on.
        heatmaps_sha256: of the self-test's heatmaps in int8, which are equal on every CPU where all
            products are integers; else None.
    """

    tensors: Mapping[str, MapScale]
    float_nodes: tuple[str, ...] = ()
    images: int
    heatmaps_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"images is {self.images}; wanted at least 1")
        digest = self.heatmaps_sha256
        if digest is not None and (len(digest) != 64 or digest.strip("0123456789abcdef")):
            raise ValueError(
                f"heatmaps_sha256 is {printable(digest[:80])!r}; wanted 64 hexadecimal digits in "
                "lower case, or None"
            )


def load_quantization(value: Mapping[str, Any]) -> Quantization:
    """Makes it of a document's object, whose fields are of the right types.

    Raises:
        ValueError: a value out of its range; the message names the field.
    """
    tensors = {}
    for name, entry in value["tensors"].items():
        where = f"quantization.tensors[{printable(name)!r}]"
        if not isinstance(entry, dict) or set(entry) != {"scale", "zero_point"}:
            raise ValueError(f"{where}: wanted an object of scale and zero_point")
        scale, zero = entry["scale"], entry["zero_point"]
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            raise ValueError(f"{where}: scale is not a number")
        if isinstance(zero, bool) or not isinstance(zero, int):
            raise ValueError(f"{where}: zero_point is not an integer")
        try:
            tensors[name] = MapScale(scale, zero)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    try:
        return Quantization(
            tensors=tensors,
            float_nodes=tuple(value["float_nodes"]),
            images=value["images"],
            heatmaps_sha256=value["heatmaps_sha256"],
        )
    except ValueError as error:
        raise ValueError(f"quantization.{error}") from None


def dump_quantization(quantization: Quantization) -> dict[str, Any]:
    """The document's object, as :func:`load_quantization` takes it."""
    tensors = {
        name: {"scale": entry.scale, "zero_point": entry.zero_point}
        for name, entry in quantization.tensors.items()
    }
    return {
        "tensors": tensors,
        "float_nodes": list(quantization.float_nodes),
        "images": quantization.images,
        "heatmaps_sha256": quantization.heatmaps_sha256,
    }


def quantized_nodes(graph: GraphSpec, float_nodes: Iterable[str] = ()) -> Iterator[NodeSpec]:
    """The nodes whose products are taken in integers."""
    kept = frozenset(float_nodes)
    return (n for n in graph.nodes if n.kind in PRODUCT_KINDS and n.name not in kept)


def check_graph(graph: GraphSpec, quantization: Quantization | None) -> None:
    """That a quantization is one of this graph.

    Raises:
        ValueError: names of no node, or nodes that lack the scales of their weights.
    """
    scaled = {node.name for node in graph.nodes if WEIGHT_SCALE in node.weights}
    if quantization is None:
        if scaled:
            raise ValueError(
                f"{printable(min(scaled))}.{WEIGHT_SCALE}: scales of weights without a quantization"
            )
        return
    names = {node.name for node in graph.nodes}
    for field in ("tensors", "float_nodes"):
        unknown = sorted(set(getattr(quantization, field)) - names)
        if unknown:
            raise ValueError(
                f"quantization.{field} names {', '.join(map(printable, unknown))}: no nodes of "
                "this graph; the quantization is another network's"
            )
    wanted = {node.name for node in quantized_nodes(graph, quantization.float_nodes)}
    missing = [f"{printable(name)}.{WEIGHT_SCALE}" for name in sorted(wanted - scaled)]
    if missing:
        raise ValueError(
            f"missing scales of weights: {', '.join(missing)}; nodes without are named in "
            "quantization.float_nodes"
        )


def output_channels(node: NodeSpec, shape: tuple[int, ...]) -> int:
    """How many scales a node's weight of this shape has.

    Raises:
        ValueError: a node whose weights have none, or a weight that is not one of its groups.
    """
    if node.kind not in PRODUCT_KINDS:
        raise ValueError(
            f"{printable(node.name)}: {printable(node.kind)} has no {WEIGHT_SCALE}; only "
            f"{' and '.join(PRODUCT_KINDS)} have"
        )
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"{printable(node.name)}.weight has shape {shape}; wanted four axes, none of them empty"
        )
    if node.kind == "conv2d":
        return shape[0]
    groups = node.attributes.get("groups", 1)
    if type(groups) is not int or groups < 1 or shape[0] % groups:
        raise ValueError(
            f"{printable(node.name)}: groups is {reprlib.repr(groups)}; wanted an integer that "
            f"divides the {shape[0]} inputs of its weight"
        )
    return shape[1] * groups


def per_output(
    kind: str, scales: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The scales as an array that goes with the weight by broadcasting."""
    if kind == "conv2d":
        return scales.reshape(-1, 1, 1, 1)
    # weight[c, o] makes output (c's group) * (O / groups) + o.
    groups = len(scales) // shape[1]
    return np.repeat(scales.reshape(groups, shape[1]), shape[0] // groups, axis=0)[:, :, None, None]


def check_scales(name: str, scales: NDArray[np.float32], channels: int) -> None:
    """That a node's scales of weights are those of so many channels.

    Raises:
        ValueError: another shape, or a scale that is no positive number.
    """
    if scales.shape != (channels,):
        raise ValueError(f"{name} has shape {scales.shape}; wanted ({channels},)")
    low, high = _SCALE_RANGE
    good = (scales >= low) & (scales <= high)  # a NaN is neither
    if not good.all():
        channel = int(np.argmin(good))
        raise ValueError(
            f"{name}[{channel}] is {scales[channel]}; wanted a number from {low:g} to {high:g}"
        )
