"""Checkpoints: plain tensors and numbers, written whole or not at all."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lpn_core._files import write_atomically

_CHUNK = 1 << 20
NUMBERED = re.compile(r"step-(\d+)\.pt")
# What a run needs to go on; older checkpoints lack some and can only give their weights.
RESUMABLE = ("optimiser", "step", "position", "best", "stage_best", "stages", "sampler", "rng")


@contextmanager
def failures_name(path: Path) -> Iterator[None]:
    """An OSError inside, such as that of a full disk, names the file that was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    with failures_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, chunks, durable=True)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values to a temporary file, then put it in place.

    Raises:
        OSError: It cannot be written, as on a full disk.
    """
    # In memory first: where writing fails, torch speaks of its container and hides the reason.
    packed = io.BytesIO()
    torch.save(content, packed)
    _write(path, [packed.getbuffer()])


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary file, then put it in place.

    Raises:
        OSError: It cannot be written, as on a full disk.
    """
    _write(path, [text.encode()])


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content:
        _write(target, iter(lambda: content.read(_CHUNK), b""))


def copy_checkpoints(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copy files of one run's folder into another one's; nothing where it is the same folder.

    Raises:
        FileNotFoundError: The run's folder lacks one of them.
    """
    if source.resolve() == target.resolve():
        return
    for name in names:
        if not (source / name).is_file():
            raise FileNotFoundError(
                f"{source} lacks {name}, which the run needs to go on in {target}: put it there, "
                "or begin a new run from the checkpoint's weights with --set train.initial=PATH"
            )
        _copy(source / name, target / name)


def keep_numbered(last: Path, step: int, count: int) -> None:
    """Copy ``last.pt`` to ``step-STEP.pt``, then delete all but the last ``count`` up to there.

    Those of later steps are of a run that this one left; they stay until it gets there.

    Raises:
        OSError: It cannot be written, as on a full disk; nothing is deleted then.
    """
    _copy(last, last.with_name(f"step-{step:08d}.pt"))
    numbered = ((NUMBERED.fullmatch(path.name), path) for path in last.parent.iterdir())
    found = sorted((int(match[1]), path) for match, path in numbered if match)
    for _, path in [entry for entry in found if entry[0] <= step][:-count]:
        path.unlink()


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values; nothing in it is executed.

    Raises:
        ValueError: Another kind of file, or one that was cut short.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is not a training checkpoint: {reason}") from error
    if not isinstance(content, dict) or "model" not in content or "config" not in content:
        raise ValueError(f"{path} is not a training checkpoint: it lacks 'model' or 'config'")
    return content


def load_resumable(path: Path, device: torch.device | str) -> dict[str, Any]:
    """Read a checkpoint that a run can continue from.

    Raises:
        ValueError: It lacks a part, as those of earlier versions do.
    """
    content = load_checkpoint(path, device)
    missing = [name for name in RESUMABLE if name not in content]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)} and cannot be resumed; "
            "its weights can start a new run: --set train.initial=PATH"
        )
    return content


def averaged_weights(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights to evaluate and export: the moving average, or the model where there is none."""
    weights: dict[str, torch.Tensor] = content.get("ema") or content["model"]
    return weights


def generator_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of PyTorch's global random generators."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_generators(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Undo ``generator_state``."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
