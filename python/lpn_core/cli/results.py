"""What `lpn predict` finds: recorded image by image, gathered in predictions.json when a run ends.

predictions.json speaks for its folder: a run adds its images to those of earlier runs, and an image
that is predicted again replaces its own entry only. While a run goes on, predictions-*.jsonl holds
a line per image, written before its picture; where the run was killed, the next one in the folder
gathers it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from lpn_core._files import write_atomically

if sys.platform != "win32":
    import fcntl

Entry = dict[str, Any]

PREDICTIONS = "predictions.json"
_JOURNALS = "predictions-*.jsonl"

_logger = logging.getLogger(__name__)


class Results:
    """The results of one run, in memory and, where there is a folder, on disk.

    Attributes:
        images: an entry per image that was done.
        failed: an entry with "file" and "error" per failure; an image whose picture could not be
            written is in both.
    """

    def __init__(self, folder: Path | None) -> None:
        """Gathers what killed runs left in the folder, and begins a record of this one.

        Raises:
            ValueError: the folder's predictions.json is none of this command's.
            OSError: it cannot be read, or no file made beside it.
        """
        self.images: list[Entry] = []
        self.failed: list[Entry] = []
        self._folder = folder
        self._entries: list[Entry] = []
        self._journal: FileIO | None = None
        if folder is None:
            return
        with _locked_folder(folder):
            # Before the work, not after it.
            _read_predictions(folder / PREDICTIONS)
            _gather_journals(folder)
            path = folder / _JOURNALS.replace("*", secrets.token_hex(4))
            self._journal = FileIO(path, "xb")
            _lock(self._journal.fileno(), wait=False)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Gathers the results, however the run ends.

        Raises:
            OSError: predictions.json cannot be written; the record stays, and the message names it.
        """
        if self._folder is None or self._journal is None:
            return
        journal = Path(os.fsdecode(self._journal.name))
        with self._journal, _locked_folder(self._folder):
            try:
                _gather(self._folder, self._entries)
            except (OSError, ValueError) as fault:
                raise OSError(
                    f"{fault}; what was found is in {journal}, which the next run in this folder "
                    "gathers"
                ) from None
            journal.unlink(missing_ok=True)

    def add(self, entry: Entry) -> None:
        """Takes the entry of an image that was done.

        Raises:
            OSError: it cannot be recorded on disk (it is kept in memory).
        """
        self.images.append(entry)
        self._record(entry)

    def fail(self, file: str, error: str) -> None:
        """Takes a failure."""
        entry = {"file": file, "error": error}
        self.failed.append(entry)
        # Where the disk is full, the entries that went before it count.
        with contextlib.suppress(OSError):
            self._record(entry)

    def without_picture(self, entry: Entry) -> None:
        """Takes back that the image of the newest entry has a picture."""
        entry["picture"] = None
        with contextlib.suppress(OSError):
            self._record(entry)

    def _record(self, entry: Entry) -> None:
        self._entries.append(entry)
        if self._journal is None:
            return
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        before = self._journal.tell()
        try:
            while line:
                line = line[self._journal.write(line) :]
        except OSError:
            # Half a line would spoil the next one.
            with contextlib.suppress(OSError):
                self._journal.seek(before)
                self._journal.truncate()
            raise


def document_of(images: Iterable[Entry], failed: Iterable[Entry]) -> str:
    """The JSON document of entries."""
    # Escaped, so that a file name that is not UTF-8 can be written, too.
    return json.dumps({"images": list(images), "failed": list(failed)}, allow_nan=False)


def _gather_journals(folder: Path) -> None:
    """Gathers the records of runs that are no more; the folder is locked."""
    for path in sorted(folder.glob(_JOURNALS)):
        with path.open("rb") as file:
            if not _lock(file.fileno(), wait=False):
                continue
            entries = [entry for entry in map(_parse, file) if entry is not None]
            for entry in entries:
                if entry.get("picture") and not (folder / entry["picture"]).exists():
                    entry["picture"] = None
            if entries:
                _gather(folder, entries)
                count = len({entry["file"] for entry in entries})
                _logger.warning(
                    "%s now has what a run that was cut short had recorded in %s; images: %d",
                    folder / PREDICTIONS,
                    path.name,
                    count,
                )
            path.unlink(missing_ok=True)


def _parse(line: bytes) -> Entry | None:
    """The entry of a line; None of one that was not written to its end."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if _is_entry(entry) else None


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("file"), str)


def _gather(folder: Path, entries: Iterable[Entry]) -> None:
    """Adds entries to predictions.json; of one image the last counts. The folder is locked."""
    images: dict[str, Entry] = {}
    failed: dict[str, Entry] = {}
    for entry in entries:
        (failed if "error" in entry else images)[entry["file"]] = entry
    path = folder / PREDICTIONS
    before = _read_predictions(path)
    kept = [entry for entry in before["images"] if entry["file"] not in images]
    tried = images.keys() | failed.keys()
    still_failed = [entry for entry in before["failed"] if entry["file"] not in tried]
    text = document_of([*images.values(), *kept], [*failed.values(), *still_failed])
    write_atomically(path, [text.encode(), b"\n"])


def _read_predictions(path: Path) -> dict[str, list[Entry]]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {"images": [], "failed": []}
    except (ValueError, RecursionError) as error:
        raise ValueError(_foreign(path, f"not JSON: {error}")) from None
    if not isinstance(content, dict):
        raise ValueError(_foreign(path, "no JSON object"))
    for name in ("images", "failed"):
        entries = content.get(name)
        if not isinstance(entries, list) or not all(map(_is_entry, entries)):
            raise ValueError(_foreign(path, f"without {name!r}, a list of objects with a 'file'"))
    return {"images": content["images"], "failed": content["failed"]}


def _foreign(path: Path, what: str) -> str:
    return (
        f"{path} is not what this command writes ({what}), and would be lost; wanted another "
        "folder, or that file under another name"
    )


@contextlib.contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Waits until no other run is at the folder's files."""
    if sys.platform == "win32":
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        _lock(number, wait=True)
        yield
    finally:
        os.close(number)


def _lock(number: int, *, wait: bool) -> bool:
    """Locks an open file until it is closed, were it by a kill; False where another has it.

    Where there are no locks it is granted: a run gathers from its memory, so another that took its
    record away took nothing.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True
