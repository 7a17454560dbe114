"""What the command says beside its results: log records and warnings, one line each on stderr."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm


class _StderrHandler(logging.Handler):
    """Writes to stderr as it is when a record comes, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def say(text: str) -> None:
    """Writes one line to stderr."""
    tqdm.write(f"lpn: {text}", file=sys.stderr)


def with_name(error: Exception, file: Path) -> str:
    """An error's text, that says of which file it speaks."""
    text = str(error)
    named = text.startswith(str(file)) or repr(str(file)) in text
    return text if named else f"{file}: {text}"


@contextmanager
def messages(verbose: bool) -> Iterator[None]:
    """Shows warnings, and with ``verbose`` what the library logs, while a command runs."""
    logger = logging.getLogger("lpn_core")
    level = logger.level
    handler = _StderrHandler(logging.DEBUG if verbose else logging.WARNING)
    logger.addHandler(handler)
    if verbose:
        logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    # The rest of warnings.showwarning's arguments say where in the code, which is no user's matter.
    say(str(message))
