"""The engines that are measured, one module each.

A module has ``available() -> str | None``, the version that is installed; ``prepare(network,
folder)``, which writes what its users would have converted in advance; and ``load(folder, threads,
batch) -> Session``, which also takes a ``precision`` where the engine is in ``BF16`` or ``INT8``.
One in ``INT8`` has ``quantize(network, folder)`` as well, called after ``prepare``, and its
``load`` takes a ``form``. Everything but ``available`` runs in a process of the engine's own, whose
environment limits its threads.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OURS = "lpn_core"
NAMES = ("onnxruntime", "openvino", "ncnn", "mnn", "torch_eager", "torch_compile")
# That compute in bfloat16, too; onnxruntime and MNN's wheel do not on CPUs.
BF16 = ("openvino", "ncnn", "torch_eager", "torch_compile")
# That compute in 8-bit integers, too, by the forms that a network can have there. ncnn's wheel has
# no quantizer.
INT8 = {"onnxruntime": ("qdq", "qoperator"), "openvino": ("nncf",)}
# Crops that a quantizer sees, and their seed: none of them is timed.
CALIBRATION, CALIBRATION_SEED = 64, 1

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Session:
    """A loaded network; only ``run`` is timed.

    Attributes:
        feed: images (N, H, W, C) float32 in the engine's own layout.
        run: one run of the network on what ``feed`` gave.
        heatmaps: the run's result as (N, h, w, K) float32.
    """

    feed: Callable[[Images], Any]
    run: Callable[[Any], Any]
    heatmaps: Callable[[Any], NDArray[np.float32]]


def available(engine: str) -> str | None:
    """The version of an engine, or None where it is not installed."""
    version: str | None = importlib.import_module(f"peers.{engine}").available()
    return version


def settings(engine: str, precision: str) -> dict[str, dict[str, str]]:
    """Of an engine's ``load``, by names for tables: one for each way to compute in a precision."""
    if precision == "int8":
        forms = INT8.get(engine, ())
        return {f"{engine} {form}": {"precision": precision, "form": form} for form in forms}
    if precision == "bf16":
        return {engine: {"precision": precision}} if engine in BF16 else {}
    return {engine: {}}


def installed(distribution: str, *modules: str) -> str | None:
    """A distribution's version if its modules can be imported; nothing is imported."""
    # Here, as it takes milliseconds that the whole-process figures must not count.
    import importlib.metadata

    if any(importlib.util.find_spec(module) is None for module in modules):
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def planar(images: Images) -> Images:
    """(N, H, W, C) as contiguous (N, C, H, W)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def channels_last(heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, K, h, w) as contiguous (N, h, w, K), in memory of its own."""
    return np.array(heatmaps.transpose(0, 2, 3, 1), order="C")
