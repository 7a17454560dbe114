"""Convolutions of LPN-50 in 8-bit integers, as steps of small plans: their share of the peak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from harness import Options, ReplayClock, read_options
from lpn_core import _core
from lpn_core.model import timing
from lpn_core.model.graph import GraphSpec, NodeSpec
from report import Column, Report
from rounds import Samples

BLOCKS = 20
RUNS = 12
CLOCK = ReplayClock()

COLUMNS = (
    Column("case", "case"),
    Column("kernel", "kernel"),
    Column("median us", "median_s", ".1f", 1e6),
    Column("min us", "min_s", ".1f", 1e6),
    Column("GOP/s", "flops_per_s", ".1f", 1e-9),
    Column("share of peak", "share", ".1%"),
    Column("float32 / it: median", "gain", ".2f"),
)


@dataclass(frozen=True)
class Case:
    """A convolution from one map of bytes to another, or from the pixels."""

    height: int
    width: int
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    residual: bool = False
    depthwise: bool = False

    def __str__(self) -> str:
        kernel = f"{self.kernel}x{self.kernel}" + (f" s{self.stride}" if self.stride > 1 else "")
        if self.depthwise:
            return f"depthwise {kernel} of {self.height}x{self.width}x{self.inputs}"
        shape = f"{self.inputs}->{self.outputs} at {self.height}x{self.width}"
        return f"{kernel} {shape}" + (" + residual" if self.residual else "")


CASES = (
    Case(64, 48, 64, 64),
    Case(64, 48, 64, 64, residual=True),
    Case(64, 48, 256, 64),
    Case(64, 48, 256, 256),
    Case(64, 48, 512, 256),
    Case(32, 24, 128, 128, residual=True),
    Case(16, 12, 256, 256, residual=True),
    Case(8, 6, 512, 512, residual=True),
    Case(64, 48, 64, 64, kernel=3),
    Case(256, 192, 3, 64, kernel=7, stride=2),
    Case(64, 48, 64, 64, kernel=3, depthwise=True),
    Case(64, 48, 128, 128, kernel=3, stride=2, depthwise=True),
    Case(32, 24, 128, 128, kernel=3, depthwise=True),
    Case(32, 24, 256, 256, kernel=3, stride=2, depthwise=True),
    Case(16, 12, 256, 256, kernel=3, depthwise=True),
    Case(16, 12, 512, 512, kernel=3, depthwise=True),
)


def compiled(case: Case, isa: str, precision: str) -> _core.CompiledModel:
    """The case as the node "measured", its input made by another one unless it is the pixels."""
    generator = np.random.default_rng(1)
    weights: dict[str, Any] = {}
    nodes: list[NodeSpec] = []

    def convolve(
        name: str, source: str, inputs: int, outputs: int, k: int, stride: int, groups: int = 1
    ) -> None:
        shape = (outputs, inputs // groups, k, k)
        values = generator.standard_normal(shape, dtype=np.float32)
        weights[f"{name}.weight"] = values / np.float32(np.sqrt(inputs // groups * k * k))
        weights[f"{name}.bias"] = np.zeros(outputs, np.float32)
        given = {"stride": stride, "padding": k // 2, "groups": groups, "activation": "relu"}
        nodes.append(NodeSpec("conv2d", name, (source,), given, ("weight", "bias")))

    source = "x"
    if case.inputs != 3:
        convolve("input", source, case.inputs, case.inputs, 1, 1)
        source = "input"
    groups = case.inputs if case.depthwise else 1
    convolve("measured", source, case.inputs, case.outputs, case.kernel, case.stride, groups)
    last = "measured"
    if case.residual:
        nodes[-1] = NodeSpec(
            "conv2d",
            "measured",
            (source,),
            {**nodes[-1].attributes, "activation": "none"},
            ("weight", "bias"),
        )
        last = "sum"
        nodes.append(NodeSpec("add", last, ("measured", source), {"activation": "relu"}, ()))
    # Its output would be floats if it were the graph's.
    convolve("output", last, case.outputs, 16, 1, 1)
    graph = GraphSpec("x", case.inputs, tuple(nodes), ("output",)).build(weights)
    if precision == "int8":
        for node in nodes[:-1]:
            graph.set_quantization(node.name, 0.02, 0)
        if case.inputs == 3:
            graph.set_pixels((0, 1, 2), (0.02, 0.02, 0.02), (-2.0, -2.0, -2.0))
    return _core.CompiledModel(graph, 1, isa, precision=precision)


def measure(case: Case, isa: str, precision: str, blocks: int) -> tuple[dict[str, Any], Samples]:
    """The plan's step of the measured node, and its times."""
    model = compiled(case, isa, precision)
    steps = model.steps(case.height, case.width)
    at = next(i for i, step in enumerate(steps) if "measured" in step["name"])
    shape = (1, case.height, case.width, case.inputs)
    images = np.random.default_rng(2).standard_normal(shape, dtype=np.float32)
    seconds: list[float] = []
    for _ in range(blocks):
        marks = model.profile(images, RUNS)
        seconds += list(np.diff(marks)[1:, at])
    return dict(steps[at]), Samples(seconds)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = read_options(metafunc.config)
    isas = options.isas or _core.supported_isas()
    cases = CASES[:1] if options.smoke else CASES
    metafunc.parametrize("case", cases, ids=str)
    metafunc.parametrize("isa", [isa for isa in isas if isa != "scalar"] or isas)


@pytest.mark.benchmark(timer=CLOCK)
def test_int8_kernel(
    benchmark: Any, case: Case, isa: str, options: Options, report: Report
) -> None:
    blocks = options.rounds(BLOCKS)
    before = timing.peak_gflops(isa, 1, "int8")
    step, samples = measure(case, isa, "int8", blocks)
    _, wide = measure(case, isa, "fp32", blocks)
    peak = 1e9 * max(before, timing.peak_gflops(isa, 1, "int8"))
    assert step["precision"] == "int8"
    rate = step["flops"] / samples.median
    report.table("Convolutions of bytes: one thread", COLUMNS).records.append(
        {
            "case": str(case),
            "kernel": step["kernel"],
            "median_s": samples.median,
            "min_s": samples.minimum,
            "flops_per_s": rate,
            "peak_flops": peak,
            "share": rate / peak,
            "gain": wide.median / samples.median,
        }
    )
    benchmark.group = str(case)
    benchmark.extra_info.update(engine=step["kernel"], peak_flops=peak)
    CLOCK.replay(benchmark, samples)
