"""Which images a command line means, and what their results are called."""

from __future__ import annotations

import glob
import logging
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
    found: dict[Path, None] = {}
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
        found.update(dict.fromkeys(paths))
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
    return list(found)


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in _SUFFIXES and not _is_result(path)
    )


def _is_result(path: Path) -> bool:
    return path.stem.endswith(_RESULT_MARK)


def result_names(paths: Sequence[Path]) -> list[str]:
    """For each image the name of its results without ending; images of one name are numbered."""
    taken: set[str] = set()
    names = []
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        names.append(name + _RESULT_MARK)
    return names
