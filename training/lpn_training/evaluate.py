"""What ``lpn_core.evaluation`` measures: a checkpoint through PyTorch or the engine, the teacher.

Crop, flip test, decode and metrics are those of ``lpn_core``, as its users get them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lpn_core import Model
from lpn_core.estimator import read_model
from lpn_core.evaluation import Network
from lpn_core.keypoints import COCO17, KeypointSet
from lpn_core.model.spec import DecodeSpec, InputSpec
from torch import nn

from lpn_training.checkpoint import averaged_weights, load_checkpoint
from lpn_training.config import stored_config
from lpn_training.data.finders import TEACHER_SPEC, OnnxTeacher
from lpn_training.devices import open_device
from lpn_training.export import export_checkpoint
from lpn_training.models.build import build_model

ENGINES = ("torch", "core")


@dataclass(frozen=True)
class Candidate:
    """A network to measure.

    Attributes:
        network: Normalised crops to heatmaps.
        spec: How its crops are made.
        keypoint_set: The joints of its heatmaps.
        flip_shift: Pixels by which the flip test shifts its mirrored heatmaps.
        architecture: As ``lpn_core`` names it; None where it is not known.
    """

    network: Network
    spec: InputSpec
    keypoint_set: KeypointSet
    flip_shift: int = DecodeSpec().flip_shift
    architecture: str | None = None


def torch_network(model: nn.Module, device: torch.device) -> Network:
    """Wrap a PyTorch model, which is put into evaluation mode.

    Returns:
        Crops (N, H, W, 3) float32 to heatmaps (N, H / 4, W / 4, K) float32.
    """
    model = model.eval().to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(crops: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        inputs = torch.from_numpy(crops).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            heatmaps = model(inputs).float().permute(0, 2, 3, 1)
        return np.ascontiguousarray(heatmaps.cpu().numpy())

    return run


def open_candidate(path: Path, *, engine: str = "torch", device: str = "cpu") -> Candidate:
    """Open what a command line names.

    Args:
        path: A checkpoint (its averaged weights count), a model file (``.safetensors``, engine
            "core" only) or the teacher (``.onnx``, through onnxruntime).
        engine: "torch", or "core": the C++ engine, with the checkpoint exported as
            ``lpn-train export`` does it.
        device: Of PyTorch.

    Raises:
        ValueError: An unknown engine, one that cannot run the file, no such device, or not a
            checkpoint.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; wanted one of {', '.join(ENGINES)}")
    if path.suffix == ".onnx":
        if engine != "torch":
            raise ValueError(f"{path}: the engine {engine!r} runs checkpoints and model files")
        return Candidate(OnnxTeacher(path), TEACHER_SPEC, COCO17)
    if path.suffix == ".safetensors":
        if engine != "core":
            raise ValueError(
                f"{path} is a model file, whose BatchNorm is folded: --engine core runs it"
            )
        return core_candidate(path)
    if engine == "core":
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder) / "model.safetensors"
            export_checkpoint(path, exported, name=path.stem)
            return core_candidate(exported)
    return _torch_candidate(path, open_device(device))


def core_candidate(source: Path | str) -> Candidate:
    """A model file, or a bundled model by its name, through the engine."""
    model = Model(read_model(source))
    architecture = model.file.provenance.architecture
    shift = model.decode.flip_shift
    return Candidate(model, model.input, model.keypoint_set, shift, architecture)


def _torch_candidate(path: Path, device: torch.device) -> Candidate:
    content = load_checkpoint(path)
    config = stored_config(content)
    model = build_model(config)
    model.load_state_dict(averaged_weights(content))
    spec = InputSpec(channel_order="rgb", height=config.model.height, width=config.model.width)
    joints = config.model.keypoint_set
    architecture = f"lpn{config.model.depth}"
    return Candidate(torch_network(model, device), spec, joints, architecture=architecture)
