"""The JSON document of a model file: every field is there, and all that are not are listed."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lpn_core import keypoints as keypoint_sets
from lpn_core._json import is_text, load_unique
from lpn_core._text import printable
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.spec import (
    DecodeSpec,
    InputSpec,
    ModelFile,
    ModelFileError,
    Provenance,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core.keypoints import KeypointSet
    from lpn_core.model.quantization import Quantization

# Each file is written as the lowest version that holds it, so that older versions of lpn_core
# read what they can.
_ONE_OUTPUT, _SEVERAL_OUTPUTS, _QUANTIZED = FORMAT_VERSIONS = (1, 2, 3)


class Document(NamedTuple):
    """The fields of the document; the arrays of the self-test's crops lie beside it."""

    name: str
    graph: GraphSpec
    input: InputSpec
    decode: DecodeSpec
    keypoints: str
    own_keypoint_set: KeypointSet | None
    provenance: Provenance
    self_test_keypoints: NDArray[np.float64]
    quantization: Quantization | None


def _is_number(value: object) -> bool:
    # A JSON integer may be too long for a double; comparing does not convert it.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _is_attribute(value: object) -> bool:
    return _is_int(value) or is_text(value) or (isinstance(value, float) and _is_number(value))


def _are_attributes(value: object) -> bool:
    return isinstance(value, dict) and all(
        is_text(name) and _is_attribute(entry) for name, entry in value.items()
    )


def _are_crops_of_points(value: object) -> bool:
    """Lists of lists of [x, y]; how many of them, the keypoint set says."""
    return isinstance(value, list) and all(
        isinstance(points, list) and all(map(_is_point, points)) for points in value
    )


def _is_point(value: object) -> bool:
    # The bound is beyond every crop; squares of larger numbers would leave the range of a double.
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_number(part) and abs(part) <= 1e6 for part in value)
    )


class _Leaf(NamedTuple):
    wanted: str
    accepts: Callable[[Any], bool]


def _list_of(leaf: _Leaf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(leaf.accepts, value))


_STRING = _Leaf("a string of valid Unicode", is_text)
_INT = _Leaf("an integer", _is_int)
_NUMBER = _Leaf("a number", _is_number)
_BOOL = _Leaf("true or false", lambda value: isinstance(value, bool))
_STRING_OR_NULL = _Leaf("a string of valid Unicode or null", lambda v: v is None or is_text(v))
_NUMBER_OR_NULL = _Leaf("a number or null", lambda v: v is None or _is_number(v))
_STRINGS = _Leaf("a list of strings of valid Unicode", _list_of(_STRING))
_NAMES = _Leaf(
    "a list of at least one string of valid Unicode",
    lambda value: bool(value) and _STRINGS.accepts(value),
)
_NUMBERS = _Leaf("a list of numbers", _list_of(_NUMBER))
_LIST = _Leaf("a list", lambda value: isinstance(value, list))
_OBJECT = _Leaf("an object", lambda value: isinstance(value, dict))
_ATTRIBUTES = _Leaf(
    "an object of numbers and strings: integers in 53 bits, valid Unicode", _are_attributes
)
_POINTS = _Leaf("numbers [[[x, y] * K] * 2] in pixels", _are_crops_of_points)

_KEYPOINTS = _Leaf(
    "a string of valid Unicode or an object", lambda v: is_text(v) or isinstance(v, dict)
)

_NODE = {
    "kind": _STRING,
    "name": _STRING,
    "inputs": _STRINGS,
    "attributes": _ATTRIBUTES,
    "weights": _STRINGS,
}
_DOCUMENT: dict[str, Any] = {
    "format_version": _INT,
    "name": _STRING,
    "graph": {
        "input": {"name": _STRING, "channels": _INT},
        "nodes": _LIST,
    },
    "input": {
        "height": _INT,
        "width": _INT,
        "channel_order": _STRING,
        "mean": _NUMBERS,
        "std": _NUMBERS,
        "padding": _NUMBER,
        "affine": _STRING,
    },
    "decode": {
        "kind": _STRING,
        "beta": _NUMBER_OR_NULL,
        "quarter_step": _BOOL,
        "flip_shift": _INT,
    },
    "keypoints": _KEYPOINTS,
    "provenance": {
        "architecture": _STRING_OR_NULL,
        "training_data": _STRING_OR_NULL,
        "ap": _NUMBER_OR_NULL,
        "ap_flip": _NUMBER_OR_NULL,
        "source_sha256": _STRING_OR_NULL,
        "notes": _STRING_OR_NULL,
    },
    "self_test": {"keypoints": _POINTS},
}


# How a version names the graph's outputs.
_OUTPUTS = {
    _ONE_OUTPUT: {"output": _STRING},
    _SEVERAL_OUTPUTS: {"outputs": _NAMES},
    _QUANTIZED: {"outputs": _NAMES},
}
_QUANTIZATION = {
    "tensors": _OBJECT,
    "float_nodes": _STRINGS,
    "images": _INT,
    "heatmaps_sha256": _STRING_OR_NULL,
}


def dump_document(model_file: ModelFile) -> dict[str, Any]:
    """The document of a model file, as :func:`load_document` takes it apart."""
    from dataclasses import asdict

    graph = model_file.graph
    nodes = [
        {
            "kind": node.kind,
            "name": node.name,
            "inputs": list(node.inputs),
            "attributes": dict(node.attributes),
            "weights": list(node.weights),
        }
        for node in graph.nodes
    ]
    version = _SEVERAL_OUTPUTS if len(graph.outputs) > 1 else _ONE_OUTPUT
    quantization = {}
    if model_file.quantization is not None:
        from lpn_core.model.quantization import dump_quantization

        version = _QUANTIZED
        quantization = {"quantization": dump_quantization(model_file.quantization)}
    outputs: dict[str, object] = {"outputs": list(graph.outputs)}
    if version == _ONE_OUTPUT:
        outputs = {"output": graph.outputs[0]}
    return {
        "format_version": version,
        "name": model_file.name,
        "graph": {
            "input": {"name": graph.input_name, "channels": graph.input_channels},
            "nodes": nodes,
            **outputs,
        },
        "input": asdict(model_file.input),
        "decode": asdict(model_file.decode),
        "keypoints": _dump_keypoints(model_file),
        "provenance": asdict(model_file.provenance),
        "self_test": {"keypoints": np.asarray(model_file.self_test.keypoints).tolist()},
        **quantization,
    }


def load_document(text: str) -> Document:
    """Checks a document and takes it apart.

    Raises:
        ModelFileError: not JSON, another version, missing, unknown or wrong fields.
    """
    try:
        document = load_unique(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the metadata document is not sound JSON: {error}") from None
    if not isinstance(document, dict):
        raise ModelFileError("the metadata document is not a JSON object")
    version = document.get("format_version", _ONE_OUTPUT)
    if not _is_int(version) or version not in FORMAT_VERSIONS:
        raise ModelFileError(
            f"format_version is {reprlib.repr(version)}; this lpn_core reads "
            f"{FORMAT_VERSIONS[0]} to {FORMAT_VERSIONS[-1]}: a newer lpn_core may read it"
        )
    _check(document, version)
    graph = document["graph"]
    nodes = tuple(
        NodeSpec(
            node["kind"],
            node["name"],
            tuple(node["inputs"]),
            node["attributes"],
            tuple(node["weights"]),
        )
        for node in graph["nodes"]
    )
    outputs = tuple(graph["outputs"]) if "outputs" in graph else (graph["output"],)
    source = document["input"]
    source.update(mean=tuple(source["mean"]), std=tuple(source["std"]))
    try:
        joints = _load_keypoints(document["keypoints"])
        return Document(
            name=document["name"],
            graph=GraphSpec(graph["input"]["name"], graph["input"]["channels"], nodes, outputs),
            input=InputSpec(**source),
            decode=DecodeSpec(**document["decode"]),
            keypoints=joints.name,
            own_keypoint_set=joints if isinstance(document["keypoints"], dict) else None,
            provenance=Provenance(**document["provenance"]),
            self_test_keypoints=_self_test_keypoints(document, joints),
            quantization=_load_quantization(document.get("quantization")),
        )
    except ValueError as error:
        raise ModelFileError(str(error)) from None


def _dump_keypoints(model_file: ModelFile) -> object:
    if model_file.own_keypoint_set is None:
        return model_file.keypoints
    from lpn_core.model.keypoint_sets import dump_keypoints

    return dump_keypoints(model_file.own_keypoint_set)


def _load_keypoints(value: object) -> KeypointSet:
    if isinstance(value, str):
        return keypoint_sets.get(value)
    # Most files name theirs: programs that read those do without.
    from lpn_core.model.keypoint_sets import load_keypoints

    return load_keypoints(value)


def _load_quantization(value: dict[str, Any] | None) -> Quantization | None:
    if value is None:
        return None
    from lpn_core.model.quantization import load_quantization

    return load_quantization(value)


def _check(document: dict[str, Any], version: int) -> None:
    problems: dict[str, list[str]] = {"missing": [], "unknown": [], "wrong": []}
    schema = {**_DOCUMENT, "graph": _DOCUMENT["graph"] | _OUTPUTS[version]}
    if version == _QUANTIZED:
        schema["quantization"] = _QUANTIZATION
    _walk(schema, document, "", problems)
    graph = document.get("graph")
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    if isinstance(nodes, list):
        for position, node in enumerate(nodes):
            _walk(_NODE, node, f"graph.nodes[{position}]", problems)
    found = [f"{what} fields: {', '.join(paths)}" for what, paths in problems.items() if paths]
    if found:
        raise ModelFileError("; ".join(found))


def _walk(schema: object, value: object, path: str, problems: dict[str, list[str]]) -> None:
    if isinstance(schema, _Leaf):
        if not schema.accepts(value):
            problems["wrong"].append(f"{path} (wanted {schema.wanted})")
        return
    assert isinstance(schema, dict)
    if not isinstance(value, dict):
        problems["wrong"].append(f"{path} (wanted an object)")
        return
    prefix = f"{path}." if path else ""
    for key, inner in schema.items():
        if key in value:
            _walk(inner, value[key], prefix + key, problems)
        else:
            problems["missing"].append(prefix + key)
    problems["unknown"].extend(prefix + printable(key) for key in value if key not in schema)


def _self_test_keypoints(document: dict[str, Any], joints: KeypointSet) -> NDArray[np.float64]:
    crops = document["self_test"]["keypoints"]
    counts = [len(points) for points in crops]
    wanted = [len(joints)] * 2
    if counts != wanted:
        raise ModelFileError(
            f"self_test.keypoints has lists of {reprlib.repr(counts)} points; "
            f"wanted {wanted} for {joints.name!r}"
        )
    return np.array(crops, np.float64)
