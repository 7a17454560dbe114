"""Small models and pictures that tests share."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lpn_core import keypoints
from lpn_core.convert import self_test_keypoints, synthetic_crops
from lpn_core.keypoints import KeypointSet
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.model import Model
from lpn_core.model.safetensors import StoredTensor
from lpn_core.model_file import DecodeSpec, InputSpec, ModelFile, Provenance, SelfTest
from networks import Network, random_state
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 48
CONV: dict[str, int | float | str] = {"stride": 4, "padding": 0, "groups": 1, "activation": "none"}


def tiny_model_file(
    keypoint_set: str | KeypointSet = "coco17", seed: int = 0, **changes: Any
) -> ModelFile:
    """A model of one 4x4 convolution with stride 4: :func:`tiny_heatmaps` is its reference."""
    generator = np.random.default_rng(seed)
    own = keypoint_set if isinstance(keypoint_set, KeypointSet) else None
    known = keypoints.get(keypoint_set) if isinstance(keypoint_set, str) else keypoint_set
    joints = len(known)
    weights = {
        "head.weight": generator.normal(0, 0.05, (joints, 3, 4, 4)).astype(np.float32),
        "head.bias": generator.normal(0, 0.05, joints).astype(np.float32),
    }
    values: dict[str, Any] = {
        "name": "tiny",
        "graph": GraphSpec(
            "image",
            3,
            (NodeSpec("conv2d", "head", ("image",), CONV, ("weight", "bias")),),
            ("head",),
        ),
        "input": InputSpec(channel_order="rgb", height=HEIGHT, width=WIDTH),
        "decode": DecodeSpec(),
        "keypoints": known.name,
        "own_keypoint_set": own,
        "provenance": Provenance(notes="for tests"),
        "weights": weights,
    }
    values.update(changes)
    spec = values["input"]
    crops = synthetic_crops(spec.height, spec.width)
    made = ModelFile(**values, self_test=SelfTest(crops, np.zeros((2, joints, 2))))
    with Model(made, threads=1) as model:
        return replace(made, self_test=SelfTest(crops, self_test_keypoints(model)))


def tiny_heatmaps(model_file: ModelFile, crops: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K, h, w) in float64: what the tiny model gives for normalised (N, H, W, 3) crops."""
    n, height, width, _ = crops.shape
    patches = crops.astype(np.float64).reshape(n, height // 4, 4, width // 4, 4, 3)
    weight = model_file.weights["head.weight"].astype(np.float64)
    heatmaps = np.einsum("nyixjc,kcij->nkyx", patches, weight)
    result: NDArray[np.float64] = heatmaps + model_file.weights["head.bias"][:, None, None]
    return result


def photograph(height: int = 120, width: int = 160, seed: int = 3) -> NDArray[np.uint8]:
    """A smooth coloured picture (height, width, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 20 + 2, width // 20 + 2, 3))
    rows, columns = np.arange(height) / 20, np.arange(width) / 20
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[:, None, None], (columns - x)[None, :, None]
    top = coarse[y][:, x] * (1 - fx) + coarse[y][:, x + 1] * fx
    bottom = coarse[y + 1][:, x] * (1 - fx) + coarse[y + 1][:, x + 1] * fx
    return np.ascontiguousarray((top * (1 - fy) + bottom * fy).round(), np.uint8)


def lpn_state_dict(
    depth: int, attention: str, joints: int = 17, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """A random state dict of LPN under its official names."""
    return random_state(Network(depth, attention), joints, seed)


def file_of(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file as it lies on disk; ``header`` is bytes, or what JSON makes of it."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    """A tensor's entry in the header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def assert_same(found: ModelFile, wanted: ModelFile) -> None:
    """That two model files hold the same, to the bit."""
    for field in ("name", "graph", "input", "decode", "keypoints", "provenance", "quantization"):
        assert getattr(found, field) == getattr(wanted, field)
    assert found.weights.keys() == wanted.weights.keys()
    for name, array in wanted.weights.items():
        np.testing.assert_array_equal(found.weights[name], array, strict=True)
    np.testing.assert_array_equal(found.self_test.crops, wanted.self_test.crops, strict=True)
    np.testing.assert_array_equal(found.self_test.keypoints, wanted.self_test.keypoints)


def assemble(path: Path, metadata: dict[str, str], tensors: dict[str, StoredTensor]) -> None:
    """Writes a safetensors file as it is told, right or wrong."""
    header: dict[str, Any] = {"__metadata__": metadata}
    data = b""
    for name, tensor in tensors.items():
        offsets = [len(data), len(data) + tensor.data.nbytes]
        header[name] = entry(tensor.dtype, tensor.shape, offsets)
        data += tensor.data
    # Escaped, so that even what is not valid Unicode gets there.
    path.write_bytes(file_of(header, data))


_STOP_AT_IMPORT = """
import os, signal, sys
class Stop:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
"""


def stopped_at_import(project: str, command: str, module: str) -> subprocess.CompletedProcess[str]:
    """A console script that gets Ctrl-C when ``module`` is imported.

    Args:
        project: the pyproject.toml, from the tree's root, that names the script's function.
        command: the script's name.
        module: not imported before.
    """
    text = (Path(__file__).resolve().parents[1] / project).read_text(encoding="utf-8")
    ((place, function),) = re.findall(rf'^{command} = "(.*):(.*)"$', text, re.MULTILINE)
    # What pip makes of it.
    script = f"import sys\nfrom {place} import {function}\nsys.exit({function}())"
    code = f"{_STOP_AT_IMPORT.format(module=module)}\n{script}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
