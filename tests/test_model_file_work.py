"""How much work reading a model file is: counted, not timed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lpn_core import _json, model_file
from lpn_core.model.graph import GraphSpec, NodeSpec


class _CountedName(str):
    """A string that counts how often it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    compared = 0

    def __eq__(self, other: object) -> bool:
        _CountedName.compared += 1
        return str.__eq__(self, other)


def _work_of_reading(
    nodes: int, tiny: model_file.ModelFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int]:
    """Function calls, and comparisons of tensors' names, of reading ``nodes`` chained nodes."""
    add = {"activation": "none"}
    conv = {"stride": 4, "padding": 0, "groups": 1, "activation": "none"}
    chain = [NodeSpec("conv2d", "n0", ("image",), conv, ("weight",))]
    chain += [
        NodeSpec("add", f"n{i}", (f"n{i - 1}", f"n{i - 1}"), add, ("weight",))
        for i in range(1, nodes)
    ]
    weights = {f"n{i}.weight": np.zeros(1, np.float32) for i in range(nodes)}
    graph = GraphSpec("image", 3, tuple(chain), (f"n{nodes - 1}",))
    model_file.write(path, replace(tiny, graph=graph, weights=weights))
    names = list(map(_CountedName, graph.weight_names()))
    monkeypatch.setattr(GraphSpec, "weight_names", lambda _: names)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    _CountedName.compared = 0
    sys.setprofile(count)
    try:
        found = model_file.read(path)
    finally:
        sys.setprofile(None)
        monkeypatch.undo()
    assert len(found.graph.nodes) == nodes
    return calls, _CountedName.compared


def test_reading_takes_linear_time(
    tiny: model_file.ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chain.safetensors"
    calls, compared = _work_of_reading(400, tiny, path, monkeypatch)
    calls_of_twice, compared_of_twice = _work_of_reading(800, tiny, path, monkeypatch)
    assert calls_of_twice < 2.1 * calls
    assert compared_of_twice <= 2.1 * compared


def test_finding_a_name_twice_takes_linear_time() -> None:
    names = [_CountedName(i) for i in range(1000)]
    _CountedName.compared = 0
    with pytest.raises(ValueError, match="'999' twice"):
        _json._unique_object([(name, 0) for name in [*names, _CountedName(999)]])
    assert _CountedName.compared < 4000
