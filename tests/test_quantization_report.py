"""What a quantized network is said to lose: drift, noise and time, of networks that are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import tiny_model_file
from lpn_core import Model
from lpn_core.model_file import ModelFile
from lpn_core.quantization.compare import compare
from lpn_core.quantization.judge import measure
from lpn_core.quantization.layers import LayerReport, to_blame
from numpy.typing import NDArray


def _crops(count: int = 12) -> NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, 64, 48, 3)).astype(np.uint8)


def _moved(file: ModelFile, by: float) -> ModelFile:
    weights = dict(file.weights)
    generator = np.random.default_rng(1)
    noise = generator.normal(0, by, weights["head.weight"].shape).astype(np.float32)
    weights["head.weight"] = weights["head.weight"] + noise
    return replace(file, weights=weights)


def test_a_network_does_not_drift_from_itself() -> None:
    file = tiny_model_file()
    with Model(file) as model:
        drift, truth, found = compare(model, model, _crops())
    assert (drift.crops, drift.median, drift.p95, drift.heatmap_error) == (12, 0, 0, 0)
    assert drift.oks == 1
    np.testing.assert_array_equal(truth.keypoints, found.keypoints)
    assert found.keypoints.shape == (12, 17, 2)


def test_drift_grows_with_the_difference() -> None:
    file = tiny_model_file()
    found = []
    for by in (1e-4, 1e-3, 1e-2):
        with Model(file) as model, Model(_moved(file, by)) as other:
            seen: list[int] = []
            drift, _, _ = compare(model, other, _crops(), seen.append)
            assert sum(seen) == 12
            found.append(drift)
    for less, more in pairwise(found):
        assert less.p95 < more.p95
        assert less.median < more.median
        assert less.heatmap_error < more.heatmap_error
        assert less.oks >= more.oks
    assert found[0].heatmap_error == pytest.approx(found[1].heatmap_error / 10, rel=1e-3)
    assert len(set(found[2].worst)) == 5
    assert found[2].to_dict()["worst"] == list(found[2].worst)


def test_the_noisiest_layers_are_blamed() -> None:
    layers = [
        LayerReport("a", "int8", "", map_snr=40.0, weight_snr=30.0, snr=10.0),
        LayerReport("b", "int8", "", map_snr=29.0, weight_snr=None, snr=30.0),
        LayerReport("c", "fp32", "", map_snr=1.0, weight_snr=2.0),
        LayerReport("d", "int8", "", map_snr=35.0, weight_snr=50.0),
        LayerReport("e", "int8", "", weight_snr=34.0),
        LayerReport("f", "int8", ""),
    ]
    assert to_blame(layers) == ["b", "a", "e"]


def test_runs_take_turns() -> None:
    file = tiny_model_file()
    with Model(file, threads=1) as model, Model(file, threads=1) as other:
        speed = measure(model, other, _crops(1), 4)
    assert speed.reference_s > 0
    assert speed.ratio == speed.reference_s / speed.quantized_s
