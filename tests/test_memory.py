"""The memory limit: a network or a picture beyond it is refused by name, before memory is taken."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
from helpers import tiny_model_file
from lpn_core import Model, _core
from lpn_core.model_file import ModelFile
from numpy.typing import NDArray

CROPS = np.zeros((1, 64, 48, 3), np.uint8)


def _padded(padding: int, stride: int = 1) -> Any:  # _core.Graph
    graph = _core.Graph()
    graph.add_input("image", 3)
    attributes = {"stride": stride, "padding": padding, "groups": 1, "activation": "none"}
    weight: NDArray[np.float32] = np.zeros((2, 3, 1, 1), np.float32)
    graph.add_node("conv2d", "stem", ["image"], attributes, {"weight": weight})
    graph.add_output("stem")
    return graph


def test_a_network_that_no_machine_holds_is_refused_by_name() -> None:
    model = _core.CompiledModel(_padded(1 << 18), 1, "auto")
    with pytest.raises(ValueError, match=r'node "stem", \(524352, 524336, 2\), 2\.0 TiB; '):
        model.run(np.zeros((1, 64, 48, 3), np.float32))


def test_scratch_is_that_of_the_rows_that_are_there() -> None:
    model = _core.CompiledModel(_padded(1 << 14, stride=1 << 15), 1, "auto", memory_limit=32 << 20)
    assert model.run(np.zeros((1, 64, 48, 3), np.float32)).shape == (1, 2, 2, 2)


def test_an_option_raises_the_limit(tiny: ModelFile) -> None:
    with pytest.raises(ValueError, match=r"64 and width 48 takes .* KiB of memory.*16\.0 KiB"):
        Model(tiny, memory_limit=1 << 14)(CROPS)
    model = Model(tiny, memory_limit=np.int64(1 << 40))
    assert model(CROPS).shape == (1, 16, 12, 17)
    copy = pickle.loads(pickle.dumps(Model(tiny, memory_limit=1 << 14)))
    with pytest.raises(ValueError, match="memory_limit"):
        copy(CROPS)


def test_weights_count() -> None:
    file = tiny_model_file()
    with pytest.raises(ValueError, match=r'"head/conv".* take .* KiB.*the limit is 1\.0 KiB'):
        Model(file, memory_limit=1024)(CROPS)


def test_the_environment_sets_the_limit(
    tiny: ModelFile, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LPN_MEMORY_LIMIT", "16K")
    with pytest.raises(ValueError, match=r"16\.0 KiB .*LPN_MEMORY_LIMIT"):
        lpn_core.load(tiny_path).model(CROPS)
    assert Model(tiny, memory_limit=1 << 30)(CROPS).shape == (1, 16, 12, 17)
    monkeypatch.setenv("LPN_MEMORY_LIMIT", "much")
    with pytest.raises(ValueError, match='LPN_MEMORY_LIMIT is "much"; it must be a'):
        Model(tiny)


@pytest.mark.parametrize(
    ("limit", "error", "words"),
    [
        (0, ValueError, "memory_limit is 0; wanted at least 1 byte"),
        (-5, ValueError, "memory_limit is -5"),
        (1 << 63, ValueError, "at most 64 bits"),
        (1.5, TypeError, "memory_limit is 1.5; wanted an integer"),
        (True, TypeError, "memory_limit is True; wanted an integer"),
        ("2G", TypeError, "memory_limit is '2G'; wanted an integer"),
    ],
)
def test_limits_that_are_none(
    limit: Any, error: type[Exception], words: str, tiny_path: Path
) -> None:
    with pytest.raises(error, match=words):
        lpn_core.load(tiny_path, memory_limit=limit)


@pytest.mark.parametrize("verb", ["verify", "profile", "bench", "info"])
def test_commands_refuse_what_does_not_fit(
    verb: str, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("click.testing")
    from lpn_core.cli import main

    monkeypatch.setenv("LPN_MEMORY_LIMIT", "16K")
    result = testing.CliRunner().invoke(main, [verb, str(tiny_path)])
    assert result.exit_code == 2
    assert "16.0 KiB" in result.stderr
    assert "LPN_MEMORY_LIMIT" in result.stderr
    assert "Traceback" not in result.stderr
