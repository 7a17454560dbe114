"""The caller's rounding and flush modes change no bit of a result, and no plan for good."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lpn_core._core as _core
import numpy as np
import pytest
from float_modes import MODES, UNAVAILABLE, float_mode
from helpers import lpn_state_dict, photograph
from lpn_core import Model, PoseEstimator
from lpn_core.convert.architectures.lpn import build_lpn
from lpn_core.model_file import ModelFile
from numpy.typing import NDArray

pytestmark = pytest.mark.skipif(UNAVAILABLE, reason="sets the mode in glibc's fenv_t")

MEASURES = {"loop_seconds", "peak_gflops"}
QUESTIONS = {"default_isa", "default_threads", "kernels", "node_kinds", "supported_isas"}


Call = Callable[[], Any]


def _calls(isa: str, tiny: bool) -> dict[str, Call]:
    """Every function of the module; with ``tiny``, on numbers whose products are subnormal.

    Nothing is computed inside the calls, where NumPy would follow the mode.
    """
    generator = np.random.default_rng(8)

    def numbers(*shape: int) -> Any:
        return generator.standard_normal(shape, np.float32) * np.float32(1e-20 if tiny else 1)

    x, maps, start = numbers(2, 9, 7, 24), numbers(2, 8, 6, 5), numbers(192)
    kernel, pointwise = numbers(40, 24, 3, 3), numbers(40, 24)
    depthwise, deconv = numbers(24, 1, 3, 3), numbers(24, 5, 4, 4)
    context, w1, w2, hidden = numbers(3, 24), numbers(6, 24), numbers(24, 6), numbers(6)
    mask, bias = numbers(24), numbers(24)
    transform = (context, w1, hidden, hidden, hidden, w2, bias)
    image = photograph()
    centers, sizes = generator.uniform(30, 90, (3, 2)), generator.uniform(20, 60, (3, 2))
    boxes, corners = np.hstack([centers, sizes]), np.hstack([centers, centers + sizes])
    scale = (1e-42, 3e-42, 7e-42) if tiny else (0.01, 0.3, 1 / 3)
    how = ((0, 1, 2), scale, (0.0, 0.1, 1e-40))
    matrices = generator.uniform(0.1, 0.9, (2, 2, 3))
    network = _compile("gc", isa, 1e-15 if tiny else 1.0)
    people = (network, image, boxes, 32, 32, 1.3, *how, 1 / 3, True, None, 1)
    bias_free = (None, 1, 1, "none", isa)
    content = image.tobytes()
    return {
        "argmax": lambda: _core.argmax(maps, "nhwc", True, isa),
        "channel_mean": lambda: _core.channel_mean(x, isa),
        "check_boxes": lambda: _core.check_boxes(corners, "xyxy"),
        "conv2d": lambda: _core.conv2d(x, kernel, None, *bias_free),
        "crc32c": lambda: _core.crc32c((content,), isa),
        "crop_affine": lambda: _core.crop_affine(image, matrices, 20, 30, *how, isa, 1),
        "depthwise_conv2d": lambda: _core.depthwise_conv2d(x, depthwise, *bias_free),
        "draw_lines": lambda: _painted(image, boxes),
        "estimate_poses": lambda: _core.estimate_poses(*people),
        "fma_peak": lambda: _core.fma_peak(start, 1 / 3, 1e-41, 50, isa),
        "gc_pool": lambda: _core.gc_pool(x, mask, isa),
        "gc_transform": lambda: _core.gc_transform(*transform, 1 / 3, isa),
        "group_deconv2d": lambda: _core.group_deconv2d(x, deconv, None, 2, 1, 4, "none", isa),
        "grow_boxes": lambda: _core.grow_boxes(boxes, 0.7, 1.3),
        "max_pool2d": lambda: _core.max_pool2d(x, 3, 2, 1, isa),
        "normalisation": lambda: _core.normalisation((0.485, 0.456), (0.229, 0.224)),
        "pointwise_conv2d": lambda: _core.pointwise_conv2d(
            x, pointwise, None, None, None, "none", isa
        ),
        "se_gate": lambda: _core.se_gate(context, w1, w2, isa),
        "soft_argmax": lambda: _core.soft_argmax(maps, "nchw", 1 / 3, True, isa),
    }


def _painted(image: NDArray[np.uint8], ends: NDArray[np.float64]) -> NDArray[np.uint8]:
    picture = image.copy()
    colours = np.full((len(ends), 3), 77, np.uint8)
    _core.draw_lines(picture, ends.reshape(-1, 2, 2), np.full(len(ends), 4.7), colours)
    return picture


def _compile(attention: str, isa: str, factor: float) -> _core.CompiledModel:
    spec, weights = build_lpn(lpn_state_dict(50, attention), 50)
    scaled = {name: array * np.float32(factor) for name, array in weights.items()}
    return spec.compile(scaled, threads=1, isa=isa)


def _same(result: Any, expected: Any) -> bool:
    """To the last bit."""
    if isinstance(expected, tuple):
        return all(map(_same, result, expected))
    return np.asarray(result).tobytes() == np.asarray(expected).tobytes()


def test_every_function_is_tried() -> None:
    functions = {name for name, member in inspect.getmembers(_core) if inspect.isbuiltin(member)}
    assert set(_calls("auto", tiny=False)) | QUESTIONS | MEASURES == functions


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("mode", MODES)
def test_functions_do_not_follow_the_caller(mode: str, isa: str) -> None:
    different = []
    for name, call in _calls(isa, tiny=mode == "flush").items():
        expected = call()
        with float_mode(mode):
            result = call()
        if not _same(result, expected):
            different.append(name)
    assert not different


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("attention", ["gc", "se"])
def test_a_plan_made_in_another_mode_is_the_same(attention: str, mode: str) -> None:
    crops = np.random.default_rng(2).integers(0, 256, (1, 32, 32, 3), np.uint8)
    how = ((2, 1, 0), (1 / 3, 0.1, 0.3), (-0.4, 0.2, 1e-3))
    model, same, planned = (
        _compile(attention, "auto", 1e-6 if mode == "flush" else 1.0) for _ in range(3)
    )
    expected, steps = model.run_u8(crops, *how), model.steps(32, 32)
    with float_mode(mode):
        first = same.run_u8(crops, *how)
        steps_in_mode = planned.steps(32, 32)
    assert _same(first, expected)
    assert _same(same.run_u8(crops, *how), expected)
    assert steps_in_mode == steps
    assert _same(planned.run_u8(crops, *how), expected)


@pytest.mark.parametrize("mode", MODES)
def test_an_estimator_first_used_in_another_mode_is_the_same(tiny: ModelFile, mode: str) -> None:
    photo = photograph()
    boxes = np.array([[10.25, 3.5, 50.125, 70.1], [40, 20, 33.3, 90.7]])
    expected = PoseEstimator(Model(tiny, threads=1))(photo, boxes, order="rgb", flip=True)
    # An InputSpec of its own, which remembers no normalisation.
    pose = PoseEstimator(Model(replace(tiny, input=replace(tiny.input)), threads=1))
    with float_mode(mode):
        people = pose(photo, boxes, order="rgb", flip=True)
    assert _same((people.keypoints, people.scores), (expected.keypoints, expected.scores))
    assert pose.model.input.scale == tiny.input.scale
    assert pose.model.input.shift == tiny.input.shift
