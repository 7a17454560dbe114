"""Every kind of node in the engine's registry: documented, measured, and held to a reference."""

from __future__ import annotations

import re
from pathlib import Path

import lpn_core._core as _core
import numpy as np
import pytest
from lpn_core.model.graph import GraphSpec, NodeSpec
from numpy.typing import NDArray
from reference_nodes import REFERENCES

ROOT = Path(__file__).resolve().parents[1]
KINDS = _core.node_kinds()
EPSILON = float(np.finfo(np.float32).eps)


def test_one_file_is_one_kind() -> None:
    files = {path.stem for path in (ROOT / "src/cpp/engine/ops").glob("*.cc")}
    assert files == set(KINDS)


def test_every_kind_has_a_reference_and_a_shape() -> None:
    assert set(REFERENCES) == set(KINDS), "tests/reference_nodes.py"
    text = (ROOT / "bench/shapes.toml").read_text(encoding="utf-8")
    measured = set(re.findall(r'^op = "(\w+)"$', text, re.MULTILINE))
    assert set(KINDS) - measured == set(), "bench/shapes.toml"


def test_every_kind_is_documented() -> None:
    text = (ROOT / "docs/model-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    documented = {}
    for kind, inputs, attributes, weights in rows:
        names = [name.strip() for name in inputs.split(",")]
        documented[kind] = {
            "inputs": (1, None) if names[-1] == "..." else (len(names), len(names)),
            "attributes": set(re.findall(r"`(\w+)`", attributes)),
            "weights": set(re.findall(r"`(\w+)`", weights)),
        }
    registered = {
        kind: {
            "inputs": entry["inputs"],
            "attributes": set(entry["attributes"]),
            "weights": set(entry["weights"]),
        }
        for kind, entry in KINDS.items()
    }
    assert documented == registered


HEIGHT, WIDTH, CHANNELS, HIDDEN = 9, 7, 6, 5
ATTRIBUTES: dict[str, int | float | str] = {
    "kernel": 3, "padding": 1, "factor": 2, "groups": 1, "activation": "relu6", "epsilon": 1e-5
}  # fmt: skip
# Of an odd number of channels where the kind may choose; the others keep theirs.
WEIGHTS = {
    "conv2d": {"weight": (5, CHANNELS, 3, 3), "bias": (5,)},
    "conv_transpose2d": {"weight": (CHANNELS, 5, 3, 3), "bias": (5,)},
    "gc_block": {
        "mask_weight": (CHANNELS,), "mask_bias": (1,), "w1": (HIDDEN, CHANNELS), "b1": (HIDDEN,),
        "norm_weight": (HIDDEN,), "norm_bias": (HIDDEN,), "w2": (CHANNELS, HIDDEN),
        "b2": (CHANNELS,),
    },
    "se_block": {"w1": (HIDDEN, CHANNELS), "w2": (CHANNELS, HIDDEN)},
}  # fmt: skip


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kind_agrees_with_its_reference(kind: str, stride: int, isa: str) -> None:
    """Of each kind alone, behind a sum; test_engine.cc and test_network_parity.py hold networks."""
    generator = np.random.default_rng(4)

    def draw(*shape: int) -> NDArray[np.float32]:
        return generator.normal(0, 0.5, shape).astype(np.float32)

    options = {**ATTRIBUTES, "stride": stride}
    attributes = {name: options[name] for name in KINDS[kind]["attributes"]}
    weights = {name: draw(*shape) for name, shape in WEIGHTS.get(kind, {}).items()}
    least, most = KINDS[kind]["inputs"]
    inputs = ("x", "twice", "x")[: least if most == least else 3]
    twice = NodeSpec("add", "twice", ("x", "x"), {"activation": "none"})
    node = NodeSpec(kind, "node", inputs, attributes, tuple(weights))
    graph = GraphSpec("x", CHANNELS, (twice, node), ("node",))
    named = {f"node.{name}": array for name, array in weights.items()}

    x = draw(2, HEIGHT, WIDTH, CHANNELS)
    found = graph.compile(named, threads=2, isa=isa).run(x)
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    for image, result in zip(x.astype(np.float64), found, strict=True):
        values = {"x": image, "twice": 2 * image}
        expected = REFERENCES[kind]([values[name] for name in inputs], attributes, wide)
        assert result.shape == expected.shape
        assert result.shape == graph.build(named).shapes(HEIGHT, WIDTH)["node"]
        # Terms of all the sums of a kind in a row: 54 of a convolution, below 90 of a block.
        largest = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(result, expected, rtol=0, atol=EPSILON * 128 * largest)


def test_a_wrong_number_of_inputs_is_refused_by_what_is_wanted() -> None:
    for kind, entry in KINDS.items():
        graph = _core.Graph()
        graph.add_input("x", 4)
        least, most = entry["inputs"]
        words = f"takes {'at least ' if most != least else ''}{least}"
        with pytest.raises(ValueError, match=f'node "n" \\({kind}\\) has 0 inputs; it {words}'):
            graph.add_node(kind, "n", [], {}, {})


def test_shapes_want_a_whole_graph() -> None:
    graph = _core.Graph()
    with pytest.raises(ValueError, match="add_input"):
        graph.shapes(8, 8)
    graph.add_input("x", 4)
    with pytest.raises(ValueError, match="add_output"):
        graph.shapes(8, 8)
