"""From a checkpoint to the model file that ``lpn_core`` runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lpn_core import model_file
from lpn_core.convert import make_model_file
from lpn_core.model_spec import DecodeSpec, InputSpec, Provenance

from lpn_training.checkpoint import averaged_weights, load_checkpoint
from lpn_training.config import config_from_dict

KEYPOINT_SETS = {17: "coco17", 16: "mpii16", 14: "crowdpose14"}


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    *,
    name: str,
    dtype: str = "float32",
    decode: DecodeSpec | None = None,
    training_data: str | None = None,
    ap: float | None = None,
    ap_flip: float | None = None,
    notes: str | None = None,
) -> None:
    """Write the averaged weights of a checkpoint as a model file, whole or not at all.

    Args:
        checkpoint: What ``fit`` wrote.
        output: The ``.safetensors`` to make or replace.
        name: Of the model.
        dtype: "float32", or "bfloat16" for half the size (weights rounded to nearest even).
        decode: None for beta 160 with quarter step and flip shift 1.
        training_data: For the provenance, as the next three.
        ap: COCO keypoint AP without flip test, in [0, 1]; ``notes`` say on what.
        ap_flip: The same with flip test.
        notes: What a user should know.
    """
    content = load_checkpoint(checkpoint)
    config = config_from_dict(content["config"])
    state: dict[str, npt.NDArray[np.float32]] = {
        key: value.numpy()
        for key, value in averaged_weights(content).items()
        if not key.endswith("num_batches_tracked")
    }
    architecture = f"lpn{config.model.depth}"
    joints = config.model.num_joints
    if joints not in KEYPOINT_SETS:
        raise ValueError(
            f"{checkpoint} predicts {joints} joints; keypoint sets have {sorted(KEYPOINT_SETS)}"
        )
    made = make_model_file(
        name,
        architecture,
        state,
        channel_order="rgb",
        decode=decode,
        input=InputSpec(channel_order="rgb", height=config.model.height, width=config.model.width),
        keypoints=KEYPOINT_SETS[joints],
        provenance=Provenance(
            architecture=architecture,
            training_data=training_data,
            ap=ap,
            ap_flip=ap_flip,
            source_sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
            notes=notes,
        ),
        dtype=dtype,
    )
    model_file.write(output, made, dtype)
