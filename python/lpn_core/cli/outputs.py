"""Where results go: looked at before the work, so that nothing is computed for nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click


def check_folder(folder: Path, option: str) -> None:
    """Checks that files can be made in a folder.

    Args:
        folder: of the results.
        option: that names it, for the errors.

    Raises:
        click.BadParameter: it is not there, or not to be written into.
    """
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {folder}", param_hint=option)
    try:
        # Not os.access: it grants root what a read-only file system refuses.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise click.BadParameter(
            f"no file can be made in {folder} ({error.strerror}); wanted another folder",
            param_hint=option,
        ) from None
