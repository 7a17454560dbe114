"""lpn profile: what it prints and writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from isa_sets import FEATURES
from lpn_core import supported_isas

pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("PIL")
from click.testing import CliRunner, Result
from lpn_core.cli import main


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["profile", *(str(argument) for argument in arguments)])


def test_table(tiny_path: Path) -> None:
    result = _run(tiny_path, "--threads", 2, "--rounds", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tiny, 64 x 48 (H x W), ")
    assert "2 threads, 3 runs" in lines[0]
    assert lines[2].split()[:3] == ["step", "kernel", "isa"]
    assert lines[3].split()[0] == "head"
    assert [line.split()[0] for line in lines[5:]] == ["steps", "outside", "run", "floor"]


def test_by_kernel(tiny_path: Path) -> None:
    result = _run(tiny_path, "--rounds", 2, "--by", "kernel", "--sort", "time")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[3].startswith("1 step ")


@pytest.mark.parametrize("isa", supported_isas())
def test_json(tiny_path: Path, isa: str) -> None:
    result = _run(tiny_path, "--isa", isa, "--threads", 1, "--rounds", 2, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["model"], document["isa"], document["threads"]) == ("tiny", isa, 1)
    assert document["rounds"] == 2
    assert document["peak_gflops"][isa] > 0
    (step,) = document["steps"]
    assert step["name"] == "head"
    assert step["kernel"].endswith(step["isa"])
    assert FEATURES[step["isa"]] == [f for f in FEATURES[isa] if f in FEATURES[step["isa"]]]
    assert {"median_s", "minimum_s", "gflops", "share_of_peak", "bytes", "gbytes_per_s"} <= set(
        step
    )


def test_trace(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    result = _run(tiny_path, "--rounds", 4, "--trace", path)
    assert result.exit_code == 0, result.output
    events = json.loads(path.read_text())["traceEvents"]
    names = [event["name"] for event in events if event["ph"] == "X"]
    assert names == ["run 0", "head", "run 1", "head", "run 2", "head", "run 3", "head"]
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"], "nothing else is left behind"


def test_trace_into_a_missing_folder(tiny_path: Path, tmp_path: Path) -> None:
    result = _run(tiny_path, "--rounds", 1, "--trace", tmp_path / "absent" / "trace.json")
    assert result.exit_code == 2
    assert "there is no folder" in " ".join(result.stderr.split())


def test_trace_that_cannot_be_written(tiny_path: Path, tmp_path: Path) -> None:
    result = _run(tiny_path, "--rounds", 1, "--trace", tmp_path / ("x" * 300))
    assert result.exit_code == 1
    assert "too long" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lpn5000"], "no model 'lpn5000'"),
        (["lpn50", "--isa", "sse9"], "sse9"),
        (["lpn50", "--threads", "0"], "threads"),
        (["lpn50", "--rounds", "0"], "rounds"),
        (["lpn50", "--by", "layer"], "layer"),
        (["lpn50", "--sort", "name"], "name"),
        ([], "MODEL"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
