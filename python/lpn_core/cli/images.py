"""Which images a command line means, and what their results are called."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import click

# Of the kinds that photographs come in and Pillow reads; of others a file's name must be given.
_SUFFIXES = {
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc"),
    *(".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".qoi", ".tga", ".tif", ".tiff", ".webp"),
}
# What `lpn predict` writes is not what it reads when it is given the same folder or pattern again.
# A shell puts names in a pattern's place, so of several files those named so are left out, too; one
# file alone is meant.
_RESULT_MARK = ".pose"

_logger = logging.getLogger(__name__)


def expand(arguments: Sequence[str]) -> list[Path]:
    """The images that files, folders and glob patterns mean, each once, in order.

    Raises:
        click.BadParameter: an argument that means none.
    """
    found: dict[str, Path] = {}
    own: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        what = "is neither a file nor a folder"
        try:
            if path.is_dir():
                paths = _images_in(path)
                what = "holds no images"
            elif path.exists():
                paths = [path]
                if len(arguments) > 1 and _is_result(path):
                    own.append(path)
                    continue
            else:
                # Path.glob takes no absolute patterns.
                names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
                found_by_pattern = map(Path, names)
                paths = [p for p in found_by_pattern if p.is_file() and not _is_result(p)]
                if glob.has_magic(argument):
                    what = "matches no images"
        except OSError as error:
            raise click.BadParameter(str(error), param_hint="IMAGE") from None
        if not paths:
            raise click.BadParameter(f"{argument!r} {what}", param_hint="IMAGE")
        for path in paths:
            found.setdefault(absolute(path), path)
    if own and not found:
        raise click.BadParameter(
            f"these are all pictures that this command wrote, such as {str(own[0])!r}; wanted "
            "others, or one alone if it is meant",
            param_hint="IMAGE",
        )
    if own:
        _logger.warning(
            "left out what this command wrote: %s%s",
            own[0],
            f" and {len(own) - 1} more" if own[1:] else "",
        )
    return list(found.values())


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in _SUFFIXES and not _is_result(path)
    )


def _is_result(path: Path) -> bool:
    return path.stem.endswith(_RESULT_MARK)


def absolute(path: Path) -> str:
    """The path that an image's results go by, from whatever folder it is named."""
    # Not Path.absolute, which leaves "..", nor Path.resolve, which follows links.
    return os.path.abspath(path)  # noqa: PTH100


def result_name(path: Path) -> str:
    """The name of an image's results without ending.

    It follows from the image's absolute path alone, so that images of one name in several folders
    are kept apart, and an image has the same results whichever others are predicted.
    """
    digest = hashlib.sha256(os.fsencode(absolute(path))).hexdigest()
    return f"{path.stem}-{digest[:8]}{_RESULT_MARK}"
