"""Which maps an int8 network keeps as bytes, and which of them must be scaled alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lpn_core.model.graph import GraphSpec, NodeSpec

# Of these, bytes become bytes of the same scale.
_MOVES = ("max_pool2d", "upsample_nearest", "concat")
_ATTENTIONS = ("gc_block", "se_block")
# Vectors of one value per channel stay float.
_VECTORS = ("global_avg_pool",)


def readers_of(graph: GraphSpec) -> dict[str, list[NodeSpec]]:
    """The nodes that read a tensor, by its name."""
    found: dict[str, list[NodeSpec]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def stored_maps(graph: GraphSpec) -> list[str]:
    """The nodes whose results lie in memory as bytes, in the graph's order.

    The others are outputs, vectors, read by nobody, or what a convolution adds up in registers:
    before attention, or before the addition of a residual.
    """
    readers = readers_of(graph)
    order = {node.name: place for place, node in enumerate(graph.nodes)}
    nodes = {node.name: node for node in graph.nodes}

    def is_bare(name: str) -> bool:
        node = nodes.get(name)
        return (
            node is not None
            and node.kind == "conv2d"
            and node.attributes["activation"] == "none"
            and name not in graph.outputs
            and len(readers[name]) == 1
        )

    def ends_in_registers(node: NodeSpec) -> bool:
        (reader,) = readers[node.name] if len(readers[node.name]) == 1 else (None,)
        if reader is None or node.name in graph.outputs:
            return False
        if reader.kind in _ATTENTIONS:
            return is_bare(node.name)
        if reader.kind != "add":
            return False
        # Of the summands that a convolution makes the later one takes the other as its residual.
        made = [name for name in reader.inputs if is_bare(name) or _is_projected(name)]
        return bool(made) and max(made, key=order.__getitem__) == node.name

    def _is_projected(name: str) -> bool:
        node = nodes.get(name)
        return (
            node is not None
            and node.kind in _ATTENTIONS
            and len(readers[name]) == 1
            and is_bare(node.inputs[0])
        )

    return [
        node.name
        for node in graph.nodes
        if node.name in readers
        and node.name not in graph.outputs
        and node.kind not in _VECTORS
        and not ends_in_registers(node)
    ]


def _groups(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Names that pairs join, directly or over others; in the order of the first of each."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in pairs:
        parent[root(a)] = root(b)
    found: dict[str, list[str]] = {}
    for name in parent:
        found.setdefault(root(name), []).append(name)
    return list(found.values())


def of_one_scale(graph: GraphSpec, maps: Sequence[str]) -> list[list[str]]:
    """Groups of maps whose bytes are the same numbers: what moves bytes does not scale them."""
    kept = frozenset(maps)
    pairs = [
        (name, node.name)
        for node in graph.nodes
        if node.kind in _MOVES
        for name in node.inputs
        if {name, node.name} <= kept
    ]
    return _groups(maps, pairs)


def of_one_width(graph: GraphSpec) -> list[list[str]]:
    """Groups of tensors whose channels can only be scaled together; those that cannot are left out.

    An addition, say, wants channel c of both summands and of the sum scaled alike. The input, the
    outputs and what a ReLU6 or a concatenation makes stay as they are.
    """
    together = ("add", "gc_block", "se_block", "max_pool2d", "upsample_nearest", "global_avg_pool")
    names = [graph.input_name, *(node.name for node in graph.nodes)]
    pairs = [
        (name, node.name) for node in graph.nodes if node.kind in together for name in node.inputs
    ]
    fixed = {graph.input_name, *graph.outputs}
    for node in graph.nodes:
        if node.kind == "concat":
            fixed |= {node.name, *node.inputs}
        if node.attributes.get("activation") == "relu6":
            fixed.add(node.name)
    return [group for group in _groups(names, pairs) if fixed.isdisjoint(group)]


def group_of(groups: Iterable[Sequence[str]]) -> Mapping[str, int]:
    """The number of each name's group."""
    return {name: number for number, group in enumerate(groups) for name in group}
