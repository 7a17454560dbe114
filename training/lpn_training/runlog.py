"""The record of a run: ``log.jsonl`` and ``log.csv`` always, TensorBoard on request."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from lpn_training.checkpoint import failures_name, write_text

JSONL = "log.jsonl"
CSV = "log.csv"
COLUMNS = (
    "step", "stage", "epoch", "progress", "lr", "label", "teacher", "norm", "per_second",
    "ap", "oks", "reported_ap", "reported_oks", "trained_ap", "trained_oks",
)  # fmt: skip


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, without a last one that was cut off.

    Raises:
        ValueError: There is no log, or a line before the last is damaged.
    """
    path = folder / JSONL
    if not path.exists():
        raise ValueError(f"{folder} holds no {JSONL}; name a folder that `lpn-train fit` wrote")
    entries = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number} is no JSON: {error}") from error
    return entries


class RunLog:
    """Appends to the logs in a run's folder.

    Args:
        folder: Of the run; exists.
        step: Where the run continues; what a lost end of an earlier run wrote beyond is dropped.
        tensorboard: Write event files into ``folder/tensorboard`` as well.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._jsonl, self._csv = folder / JSONL, folder / CSV
        known = read_log(folder) if self._jsonl.exists() else []
        kept = [entry for entry in known if entry["step"] <= step] if step else []
        write_text(self._jsonl, "".join(json.dumps(entry) + "\n" for entry in kept))
        write_text(self._csv, ",".join(COLUMNS) + "\n" + "".join(map(_row, kept)))
        self._board: Any = None
        if tensorboard:
            self._board = _summary_writer(folder / "tensorboard", step)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry; names are among ``COLUMNS`` and "step" is there.

        Raises:
            OSError: It cannot be written, as on a full disk.
        """
        for path, line in ((self._jsonl, json.dumps(entry) + "\n"), (self._csv, _row(entry))):
            with failures_name(path), path.open("a", encoding="utf-8") as stream:
                stream.write(line)
        if self._board is not None:
            for name in entry.keys() - {"step"}:
                self._board.add_scalar(name, entry[name], entry["step"])

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def _row(entry: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(entry)
    return text.getvalue()


def _summary_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ValueError(
            "train.tensorboard needs the package tensorboard: "
            'pip install "lpn-training[tensorboard]"'
        ) from error
    return SummaryWriter(str(folder), purge_step=step)
