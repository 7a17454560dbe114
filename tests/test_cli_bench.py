"""lpn bench: what it prints and draws, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from lpn_core import default_threads, load, supported_isas
from lpn_core.estimator import load_model
from lpn_core.model import timing

pytest.importorskip("click")
pytest.importorskip("tqdm")
Image = pytest.importorskip("PIL.Image")
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402
from lpn_core.cli.bar_chart import Bar, bar_chart  # noqa: E402
from lpn_core.cli.bench import Case, conclude, scattered_boxes, synthetic_photo  # noqa: E402

if TYPE_CHECKING:
    from lpn_core._types import Precision


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "warm_up", lambda run: run())
    monkeypatch.setattr(timing, "_PEAK_S", 0.002)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *(str(argument) for argument in arguments)])


def test_table(tiny_path: Path) -> None:
    result = _run(tiny_path, "--threads", 1, "--batch", 1, "--rounds", 2)
    assert result.exit_code == 0, result.output
    title, blank, heading, *rows = result.stdout.splitlines()
    assert title.startswith("lpn_core ")
    assert "tiny" in title
    assert blank == ""
    assert heading.split()[:4] == ["what", "precision", "threads", "batch"]
    assert [row.split()[:4] for row in rows] == [
        ["network", "fp32", "1", "1"],
        ["pipeline", "fp32", "1", "1"],
    ]
    assert all(row.endswith("%") for row in rows)


@pytest.mark.parametrize("isa", supported_isas())
def test_json(tiny_path: Path, isa: str) -> None:
    result = _run(
        tiny_path, "--threads", 2, "--threads", 1, "--batch", 3, "--batch", 1, "--batch", 3,
        "--isa", isa, "--rounds", 2, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["model"], document["isa"]) == ("tiny", isa)
    assert document["cpu"]
    cases = [(entry["what"], entry["threads"], entry["batch"]) for entry in document["results"]]
    assert cases == [
        (what, threads, batch)
        for what in ("network", "pipeline")
        for threads in (1, 2)
        for batch in (1, 3)
    ]
    for entry in document["results"]:
        assert entry["rounds"] == 2
        assert 0 < entry["minimum_s"] <= entry["median_s"]
        assert entry["persons_per_s"] == pytest.approx(entry["batch"] / entry["median_s"])
        assert entry["share_of_floor"] == pytest.approx(entry["floor_s"] / entry["median_s"])
        assert set(entry["peak_gflops"]) == {"fp32"}
    peaks = {(entry["threads"], entry["peak_gflops"]["fp32"]) for entry in document["results"]}
    assert len(peaks) == 2, "one peak per number of threads"


def test_precisions_side_by_side(tiny_path: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    result = _run(
        tiny_path, "--threads", 1, "--batch", 1, "--rounds", 2, "--json", "--chart", chart,
        "--precision", "fp32", "--precision", "bf16",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)["results"]
    assert [(entry["what"], entry["precision"]) for entry in results] == [
        (what, precision) for what in ("network", "pipeline") for precision in ("fp32", "bf16")
    ]
    with load_model(tiny_path, precision="bf16") as model:
        multiplied = {step["precision"] for step in model.steps()}
    for entry in results:
        assert set(entry["peak_gflops"]) == (
            multiplied if entry["precision"] == "bf16" else {"fp32"}
        )
    with Image.open(chart) as picture:
        assert picture.size[1] > 4 * 72, "four bars"


def test_defaults(tiny_path: Path) -> None:
    result = _run(tiny_path, "--rounds", 1, "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)["results"]
    assert {entry["threads"] for entry in results} == {1, default_threads()}
    assert {entry["batch"] for entry in results} == {1, 8}


def test_floor_is_that_of_the_best_peak_of_so_many_threads() -> None:
    def case(threads: int, peak: float) -> Case:
        taken = timing.Timing(0.004, 0.003, 0.001, 7)
        flops: dict[Precision, float] = {"fp32": 1e7, "bf16": 2e7}
        peaks: dict[Precision, float] = {"fp32": peak, "bf16": 2 * peak}
        return Case("network", "bf16", threads, 8, flops, taken, peaks)

    cases = [case(1, 20.0), case(2, 30.0), case(1, 10.0)]
    result = conclude(cases[2], cases)
    assert result.peak_gflops == {"fp32": 20.0, "bf16": 40.0}
    assert result.floor_s == pytest.approx(1e-3)
    assert result.share_of_floor == pytest.approx(0.25)
    assert result.persons_per_s == pytest.approx(2000)
    assert (result.median_s, result.minimum_s, result.spread_s) == (0.004, 0.003, 0.001)
    assert result.rounds == 7


def test_people_are_in_the_photo(tiny_path: Path) -> None:
    photo, boxes = synthetic_photo(1080, 1920), scattered_boxes(50)
    assert photo.shape == (1080, 1920, 3)
    assert photo.std() > 20
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (1920, 1080)).all()
    np.testing.assert_array_equal(boxes, scattered_boxes(50))
    with load(tiny_path, threads=1) as pose:
        assert len(pose(photo, boxes[:3], order="rgb")) == 3


def test_chart(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "speed.png"
    result = _run(tiny_path, "--threads", 1, "--batch", 1, "--rounds", 1, "--chart", path)
    assert result.exit_code == 0, result.output
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1800
    assert [p.name for p in tmp_path.iterdir()] == ["speed.png"]


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("a", "first", 30.0, 60.0, "30"), Bar("b", "second", 20.0, 40.0, "20")]
    pixels = np.asarray(bar_chart("title", "subtitle", bars)).astype(int)
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    # Saturated colours are the bars', both equally high.
    areas = sorted(
        int(count)
        for colour, count in zip(colours, counts, strict=True)
        if colour.max() - colour.min() > 100 and count > 1000
    )
    assert len(areas) == 2
    assert areas[0] / areas[1] == pytest.approx(20 / 30, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lpn5000"], "no model 'lpn5000'"),
        (["--threads", "0"], "threads"),
        (["--batch", "0"], "batch"),
        (["--rounds", "0"], "rounds"),
        (["--isa", "sse9"], "sse9"),
        (["--chart", "speed.jpg"], "not called .png"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_chart_into_a_missing_folder(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "speed.png"
    result = _run(tiny_path, "--threads", 1, "--batch", 1, "--rounds", 1, "--chart", path)
    assert result.exit_code == 2
    assert "there is no folder" in " ".join(result.stderr.split())


def test_chart_that_cannot_be_written(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 300}.png"
    result = _run(tiny_path, "--threads", 1, "--batch", 1, "--rounds", 1, "--chart", path)
    assert result.exit_code == 1
    assert "too long" in result.stderr
    assert "Traceback" not in result.stderr
