"""Profiles: the recorded runs, their arithmetic, table and trace."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core import Model, _core
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model import timing
from lpn_core.model.profile import Profile, StepProfile, peak_name
from lpn_core.model_file import ModelFile
from numpy.typing import NDArray

FLOAT = 4


def _compiled(attention: str, threads: int = 1) -> _core.CompiledModel:
    graph, weights = build_lpn(lpn_state_dict(50, attention), 50)
    return graph.compile(weights, threads=threads, isa=None)


# --- Bytes -----------------------------------------------------------------------------------


def _bytes(attention: str) -> dict[str, float]:
    steps = _compiled(attention).steps(64, 48)
    return {str(step["name"]): float(str(step["bytes"])) for step in steps}


@pytest.mark.parametrize("attention", ["gc", "se", "none"])
def test_bytes_of_steps(attention: str) -> None:
    found = _bytes(attention)
    stem, pooled, stage4 = 32 * 24, 16 * 12, 4 * 3
    assert found["conv1"] == FLOAT * (64 * 48 * 3 + 64 * 3 * 49 + 64 + stem * 64)
    assert found["maxpool"] == FLOAT * (stem + pooled) * 64
    assert found["layer1.0.conv1"] == FLOAT * (2 * pooled * 64 + 64 * 64 + 64)
    # A stride of two reads every second position of every second row; the sum adds conv3's result.
    assert found["layer2.0.downsample"] == FLOAT * (8 * 6 * (64 + 2 * 128) + 64 * 128 + 128)
    # Two input channels of a group meet one of its outputs, 4 x 4 taps; the map between the two
    # convolutions is never stored.
    upsampling = 512 * 16 + 256 + 256 * 256 + 256
    assert found["deconv_layers.0 + deconv_layers.3"] == FLOAT * (
        stage4 * 512 + 4 * stage4 * 256 + upsampling
    )
    # conv3 reads the shortcut, too, and the attention block's vector.
    vector = 0 if attention == "none" else 512
    assert found["layer4.2.conv3"] == FLOAT * (3 * stage4 * 512 + 512 * 512 + 512 + vector)


def test_bytes_of_attention_steps() -> None:
    with_gc, without = _bytes("gc"), _bytes("none")
    chunks = 1  # of a map of 4 x 3
    partials = chunks * (512 + 2)
    mask = 512
    extra = with_gc["layer4.0.conv2"] - without["layer4.0.conv2"]
    assert extra == FLOAT * (partials + mask)
    weights = 2 * 512 * 32 + 3 * 32 + 512
    assert with_gc["layer4.0.att"] == FLOAT * (partials + weights + 512)
    assert _bytes("se")["layer4.0.att"] >= FLOAT * (chunks * 512 + 2 * 512 * 32 + 512)


# --- Recorded runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_marks(threads: int) -> None:
    model = _compiled("gc", threads)
    image = np.random.default_rng(0).standard_normal((1, 64, 48, 3), dtype=np.float32)
    before = model.run(image)
    marks = model.profile(image, 4)
    assert marks.shape == (4, len(model.steps(64, 48)) + 1)
    assert marks.dtype == np.float64
    moments = marks.ravel()
    assert (np.diff(moments) >= 0).all(), "the steps follow each other, and so do the rounds"
    np.testing.assert_array_equal(model.run(image), before)


def test_marks_of_chunks() -> None:
    model = _compiled("gc", threads=2)
    image = np.zeros((1, 64, 48, 3), np.float32)
    marks = model.profile(image, 3, by_chunk=True)
    assert marks.shape == (3, sum(int(str(step["chunks"])) for step in model.steps(64, 48)) + 1)
    assert (np.diff(marks.ravel()) >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 1, 1, 0.01), "threads is 0"),
        ((1, 0, 1, 0.01), "chunks is 0"),
        ((1, 1, -1, 0.01), "steps is -1"),
        ((1, 1, 1, 0.0), "seconds is 0"),
    ],
)
def test_loop_arguments(arguments: tuple[int, int, int, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _core.loop_seconds(*arguments)


def test_loops_take_time() -> None:
    assert _core.loop_seconds(2, 3, 1, 0.001) > 0


@pytest.mark.parametrize(
    ("shape", "rounds", "words"),
    [
        ((2, 64, 48, 3), 1, r"\(2, 64, 48, 3\).*one image of 3 channels"),
        ((1, 64, 48, 4), 1, "one image of 3 channels"),
        ((64, 48, 3), 1, r"\(1, H, W, C\)"),
        ((1, 64, 48, 3), 0, "rounds is 0"),
    ],
)
def test_marks_refuse(shape: tuple[int, ...], rounds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _compiled("none").profile(np.zeros(shape, np.float32), rounds)


# --- Profiles --------------------------------------------------------------------------------


def _made(marks: NDArray[np.float64]) -> Profile:
    """Three steps of two kernels on a machine of 10 GFLOP/s, 20 in bf16, its scalar tier at 2."""
    seconds = np.diff(marks)
    rows = (
        ("a", "mul_f32_avx2", "avx2", "fp32", 4e6, 1e6),
        ("b", "add", "scalar", "fp32", 1e6, 8e6),
        ("c", "mul_f32_avx2", "avx2", "fp32", 5e6, 2e6),
    )
    peaks = {"avx2": 10.0, "scalar": 2.0, "avx2 bf16": 20.0}
    steps = tuple(
        StepProfile(
            name, kernel, isa, precision, 2, flops, size,
            float(np.median(seconds[:, i])), float(seconds[:, i].min()), peaks[isa],
        )
        for i, (name, kernel, isa, precision, flops, size) in enumerate(rows)
    )  # fmt: skip
    run = timing.summarise(np.array([0.0050, 0.0045, 0.0060]))
    return Profile("made", 64, 48, "avx2", "fp32", 2, peaks, steps, run, marks)


@pytest.fixture
def made() -> Profile:
    durations = [[1e-3, 2e-3, 1e-3], [1e-3, 3e-3, 0.5e-3], [2e-3, 2e-3, 0.7e-3]]
    begins = np.array([[5.0], [6.0], [7.0]])
    return _made(np.hstack([begins, begins + np.cumsum(durations, axis=1)]))


def test_arithmetic(made: Profile) -> None:
    a, b, c = made.steps
    assert [a.median_s, b.median_s, c.median_s] == pytest.approx([1e-3, 2e-3, 0.7e-3])
    assert [a.minimum_s, b.minimum_s, c.minimum_s] == pytest.approx([1e-3, 2e-3, 0.5e-3])
    assert a.gflops == pytest.approx(4.0)
    assert a.share_of_peak == pytest.approx(0.4)
    assert b.gflops == pytest.approx(0.5)
    assert b.share_of_peak == pytest.approx(0.25), "a step is held against its own tier"
    assert b.gbytes_per_s == pytest.approx(4.0)
    assert made.flops == 10e6
    assert made.floor_s == pytest.approx(1e-3)
    assert made.share_of_floor == pytest.approx(0.2)
    assert made.steps_median_s == pytest.approx(4.5e-3)
    assert made.outside_s == pytest.approx(0.5e-3)
    assert made.run.minimum_s == 0.0045
    assert made.run.spread_s == pytest.approx(0.00075)


def test_floor_is_at_the_peak_of_each_precision(made: Profile) -> None:
    narrow = replace(made.steps[2], precision="bf16")
    mixed = replace(made, precision="bf16", steps=(*made.steps[:2], narrow))
    assert mixed.floor_s == pytest.approx(0.75e-3)


def test_by_kernel(made: Profile) -> None:
    product, add = made.by_kernel()
    assert (product.name, product.kernel, product.chunks) == ("2 steps", "mul_f32_avx2", 4)
    # Of the rounds' sums, which is not the sum of medians.
    assert product.median_s == pytest.approx(2e-3)
    assert product.minimum_s == pytest.approx(1.5e-3)
    assert (product.flops, product.bytes) == (9e6, 3e6)
    assert add.name == "1 step"
    assert add.median_s == made.steps[1].median_s


def test_table(made: Profile) -> None:
    lines = made.table().splitlines()
    assert lines[0] == (
        "made, 64 x 48 (H x W), fp32, avx2, 2 threads, 3 runs; "
        "peak in GFLOP/s: avx2 10.0, scalar 2.0, avx2 bf16 20.0"
    )
    heading, *rows = lines[2:6]
    assert heading.split()[:4] == ["step", "kernel", "isa", "chunks"]
    assert [row.split()[0] for row in rows] == ["a", "b", "c"]
    assert rows[0].split() == [
        "a", "mul_f32_avx2", "avx2", "2", "1000.0", "1000.0", "22.2%", "4.0", "40.0%", "1.00",
        "1.0",
    ]  # fmt: skip
    assert "20.0% of it" in lines[-1]
    by_time = made.table(sort="time").splitlines()[3:6]
    assert [row.split()[0] for row in by_time] == ["b", "a", "c"]
    by_kernel = made.table(by="kernel").splitlines()[3:5]
    assert [row.split()[2] for row in by_kernel] == ["mul_f32_avx2", "add"]
    with pytest.raises(ValueError, match="sort is 'size'; wanted one of order, time"):
        made.table(sort="size")
    with pytest.raises(ValueError, match="by is 'tier'; wanted one of step, kernel"):
        made.table(by="tier")


def test_trace(made: Profile) -> None:
    trace = json.loads(json.dumps(made.chrome_trace(), allow_nan=False))
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {event["ph"] for event in trace["traceEvents"]} == {"X", "M"}
    assert [span["name"] for span in spans] == [
        name for i in range(3) for name in (f"run {i}", "a", "b", "c")
    ]
    for run, first, *_, last in (spans[:4], spans[4:8], spans[8:]):
        assert first["ts"] == run["ts"]
        assert last["ts"] + last["dur"] == pytest.approx(run["ts"] + run["dur"])
    assert spans[0]["ts"] == 0
    assert spans[4]["ts"] == pytest.approx(1e6), "microseconds"
    assert spans[5]["dur"] == pytest.approx(1000)
    assert spans[5]["args"]["GFLOP/s"] == pytest.approx(4.0)


def test_dict_holds_what_the_table_shows(made: Profile) -> None:
    document = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert document["peak_gflops"] == {"avx2": 10.0, "scalar": 2.0, "avx2 bf16": 20.0}
    assert document["rounds"] == 3
    assert document["run"]["median_s"] == 0.005
    step = document["steps"][1]
    assert (step["name"], step["kernel"], step["isa"]) == ("b", "add", "scalar")
    assert step["share_of_peak"] == pytest.approx(0.25)


def test_profiles_are_frozen(made: Profile) -> None:
    with pytest.raises(FrozenInstanceError):
        made.threads = 3  # type: ignore[misc]


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_model_is_profiled(tiny: ModelFile, isa: str) -> None:
    with Model(tiny, threads=2, isa=isa) as model:
        profile = model.profile(13)
        plan = model.steps()
    assert (profile.model, profile.isa, profile.threads) == ("tiny", isa, 2)
    assert (profile.height, profile.width) == (64, 48)
    assert profile.run.rounds == 13
    assert profile.marks.shape == (13, len(plan) + 1)
    assert profile.peaks[isa] > 0
    for step, planned in zip(profile.steps, plan, strict=True):
        assert {name: getattr(step, name) for name in planned} == planned
        assert 0 < step.minimum_s <= step.median_s
        assert step.peak_gflops == profile.peaks[peak_name(step.isa, step.precision)]


def test_model_refuses_to_be_profiled(tiny: ModelFile) -> None:
    model = Model(tiny, threads=1)
    with pytest.raises(ValueError, match="rounds is 0; wanted at least 1"):
        model.profile(0)
    with pytest.raises(TypeError, match=r"rounds is 2\.0"):
        model.profile(2.0)  # type: ignore[arg-type]
    model.close()
    with pytest.raises(ValueError, match="closed"):
        model.profile(1)


# --- Timing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rounds", "expected"), [(1, [1]), (10, [10]), (11, [5, 6]), (40, [10, 10, 10, 10])]
)
def test_blocks(rounds: int, expected: list[int]) -> None:
    assert timing.blocks(rounds) == expected


def test_measure_counts_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "warm_up", lambda run: run())
    calls = []
    result = timing.measure(lambda: calls.append(None), 25)
    assert len(calls) == 25 + 3
    assert result.rounds == 25
    assert 0 <= result.minimum_s <= result.median_s
