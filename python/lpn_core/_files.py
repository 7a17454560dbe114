"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_atomically(
    path: str | os.PathLike[str],
    chunks: Iterable[bytes | memoryview],
    *,
    durable: bool = False,
) -> None:
    """Writes ``chunks`` under a temporary name beside ``path``, then renames.

    Several processes may write one file at the same time; one of them is the last.

    Args:
        path: of the file, made or replaced.
        chunks: its content.
        durable: waits for the disk, as a power cut could else leave the new name without content.

    Raises:
        OSError: the folder is missing or not writable; nothing is left behind.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.tmp")
    try:
        # "x" instead of tempfile: the file gets the permissions that the user's umask gives.
        with temporary.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            # Under the name that the caller knows.
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        raise
