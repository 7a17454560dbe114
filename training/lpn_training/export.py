"""From a checkpoint to the model file that ``lpn_core`` runs, checked against PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lpn_core import Model, model_file
from lpn_core.convert import (
    SELF_TEST_TOLERANCE,
    check_heatmaps,
    make_model_file,
    self_test_error,
)
from lpn_core.keypoints import MPII16
from lpn_core.model.spec import DecodeSpec, InputSpec, Provenance

from lpn_training.card import model_card
from lpn_training.checkpoint import averaged_weights, failures_name, load_checkpoint, write_text
from lpn_training.config import stored_config
from lpn_training.data.augment import normalise
from lpn_training.models.build import build_model


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
    pckh: float | None = None,
    pckh_flip: float | None = None,
    notes: str | None = None,
    card: Path | None = None,
) -> None:
    """Write the averaged weights of a checkpoint as a model file, whole or not at all.

    The file is made under a temporary name, read back and run: it must pass its self-test and
    give PyTorch's heatmaps before it takes ``output``'s place.

    Args:
        checkpoint: What ``fit`` wrote.
        output: The ``.safetensors`` to make or replace.
        name: Of the model.
        dtype: "float32", or "bfloat16" for half the size (weights rounded to nearest even).
        decode: None for beta 160 with quarter step and flip shift 1.
        training_data: For the provenance, as the next three.
        ap: COCO keypoint AP without flip test, in [0, 1]; ``notes`` say on what.
        ap_flip: The same with flip test.
        pckh: MPII's PCKh@0.5 without flip test, in [0, 1], for a model with its joints. A model
            file has no place of its own for it: it ends ``notes``.
        pckh_flip: The same with flip test.
        notes: What a user should know.
        card: Markdown file to write as well: what the model is and how it was trained.

    Raises:
        ValueError: No training checkpoint, one of an unknown number of joints, the accuracy of
            another data set, or weights that the engine does not give PyTorch's heatmaps with.
        OSError: A file cannot be read or written, as on a full disk; the message names it.
    """
    content = load_checkpoint(checkpoint)
    config = stored_config(content)
    weights = averaged_weights(content)
    state: dict[str, npt.NDArray[np.float32]] = {
        key: value.numpy()
        for key, value in weights.items()
        if not key.endswith("num_batches_tracked")
    }
    architecture = f"lpn{config.model.depth}"
    joints = config.model.keypoints
    accuracy = _accuracy(joints, (ap, ap_flip), (pckh, pckh_flip))
    if joints == MPII16.name:
        notes = " ".join(filter(None, (notes, *_sentences(accuracy)))) or None
    made = make_model_file(
        name,
        architecture,
        state,
        channel_order="rgb",
        decode=decode,
        input=InputSpec(channel_order="rgb", height=config.model.height, width=config.model.width),
        keypoint_set=config.model.keypoint_set,
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
    network = build_model(config)
    network.load_state_dict(weights)
    trial = output.with_name(f".{output.stem}.trial{output.suffix}")
    with failures_name(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            model_file.write(trial, made, dtype)
            _check(trial, network, dtype)
            trial.replace(output)
        finally:
            trial.unlink(missing_ok=True)
    if card is not None:
        write_text(card, model_card(made, config, accuracy, content, output))


def _accuracy(
    joints: str, ap: tuple[float | None, ...], pckh: tuple[float | None, ...]
) -> dict[str, float | None]:
    """What the keypoint set is judged by, without and with flip test, by name."""
    mpii = joints == MPII16.name
    wanted, given, other = ("pckh", pckh, ap) if mpii else ("ap", ap, pckh)
    if any(value is not None for value in other):
        raise ValueError(f"a model with {joints} joints is measured by {wanted}")
    metric = "PCKh@0.5" if mpii else "AP"
    return dict(
        zip((f"{metric} without flip test", f"{metric} with flip test"), given, strict=True)
    )


def _sentences(accuracy: dict[str, float | None]) -> list[str]:
    return [f"{name}: {value:.3f}." for name, value in accuracy.items() if value is not None]


@torch.inference_mode()
def _check(path: Path, network: torch.nn.Module, dtype: str) -> None:
    """Hold a written model file to its self-test and to the network it was made from."""
    with Model(model_file.read(path)) as model:
        error = self_test_error(model)
        # Not `error > tolerance`: a NaN must fail.
        if not error <= SELF_TEST_TOLERANCE:
            raise ValueError(
                f"the exported model fails its self-test: joints move by {error:.2g} px"
            )
        crops = model.file.self_test.crops
        found = model(crops)
    views = torch.tensor(crops).permute(0, 3, 1, 2).float() / 255
    expected = network.eval()(normalise(views)).permute(0, 2, 3, 1).numpy()
    check_heatmaps(found, expected, dtype)
