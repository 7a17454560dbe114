"""A model's card: what it is, how it was trained, how good it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpn_core.model.spec import ModelFile

from lpn_training.config import Config


def model_card(
    file: ModelFile,
    config: Config,
    accuracy: Mapping[str, float | None],
    content: Mapping[str, Any],
    path: Path,
) -> str:
    """Markdown of an exported model.

    Args:
        file: Its content.
        config: Of the run it comes from.
        accuracy: In [0, 1], by name; None where it was not measured.
        content: Of the checkpoint.
        path: The model file as written.
    """
    spec, decode, origin = file.input, file.decode, file.provenance
    train, augment, loss, schedule = config.train, config.augment, config.loss, config.schedule
    rule = "argmax" if decode.beta is None else f"beta-Soft-Argmax, beta {decode.beta:g}"
    length = (
        f"{schedule.epochs} epochs"
        if schedule.epochs
        else f"{schedule.total_seconds:g} s"
        if schedule.total_seconds
        else f"{schedule.total_steps} steps"
    )
    later = (
        f", all but the first from epoch {schedule.restart_epoch} on"
        if schedule.stages > 1 and schedule.restart_epoch
        else ""
    )
    facts = {
        "architecture": f"{origin.architecture}, attention {config.model.attention}",
        "keypoints": file.keypoints,
        "input": f"{spec.height} x {spec.width} (height x width), {spec.channel_order.upper()}",
        "decode": rule + (" with quarter step" if decode.quarter_step else "")
        + f", flip shift {decode.flip_shift}",
        "trained on": origin.training_data or "not stated",
        "samples seen in the last run": f"{content.get('step', 0) * train.step_size:,}",
        "started from": train.initial or f"{config.model.initialisation} initialisation",
        "optimiser": f"{train.optimiser}, learning rate {train.learning_rate:g}, batch "
        f"{train.step_size}, weight decay {train.weight_decay:g}",
        "schedule": f"{schedule.kind}, {schedule.stages} stage(s) of {length}{later}",
        "average": f"EMA {train.ema_decay:g}" if train.ema_decay else "none",
        "augmentation": f"rotation {augment.rotation_sigma:g} degrees with probability "
        f"{augment.rotation_probability:g}, scale {augment.scale_sigma:g}, mirror "
        f"{augment.mirror_probability:g}, colour {augment.colour:g}",
        "teacher": f"{Path(loss.teacher).name}, weight {loss.teacher_weight:g}"
        if loss.teacher
        else "none",
        **{name: _number(value) for name, value in accuracy.items()},
        **_scores(content, config),
        "checkpoint": f"sha256 {origin.source_sha256}",
        "file": f"{path.stat().st_size:,} bytes, sha256 "
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}",
    }  # fmt: skip
    lines = [f"# Model card: `{file.name}`", ""]
    if origin.notes:
        lines += [origin.notes, ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())]
    return "\n".join(lines) + "\n"


def _scores(content: Mapping[str, Any], config: Config) -> dict[str, str]:
    """AP while training, of these very weights: on people trained on, held out, and reported."""
    chosen = "held out" if config.data.held_out else "of the validation"
    people = {"trained_ap": "trained on", "ap": chosen, "reported_ap": "of the validation"}
    for record in (content.get("best", {}), content.get("stage_best", {})):
        known = {key: words for key, words in people.items() if key in record}
        if known and record["step"] == content["step"]:
            title = f"AP on packed crops of people {', '.join(known.values())}"
            return {title: ", ".join(_number(record[key]) for key in known)}
    return {}


def _number(value: float | None) -> str:
    return "not stated" if value is None else f"{value:.3f}"
