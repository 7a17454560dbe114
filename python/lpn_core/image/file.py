"""Image files, whoever they come from: the formats that are read, and how they are opened."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# What photographs and pictures of data sets come in, with Pillow's modules that read it, each
# within this process: others hand their file to a program (EPS to Ghostscript). TGA is last, having
# no signature.
_READERS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "BMP": "BmpImagePlugin",
    "DIB": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "PPM": "PpmImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "AVIF": "AvifImagePlugin",
    "QOI": "QoiImagePlugin",
    "TGA": "TgaImagePlugin",
}
FORMATS = tuple(_READERS)
# What Pillow raises on files that are not what their headers say, beside ValueError.
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    struct.error,
)


def pil_module() -> ModuleType:
    """PIL.Image, imported on first use.

    Raises:
        ImportError: PIL is not installed; the message says how to install it.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            'reading and drawing images needs Pillow: pip install "lpn-core[image]"'
        ) from None
    return Image


@contextmanager
def open_image(source: str | os.PathLike[str] | IO[bytes], name: str) -> Iterator[ImageFile]:
    """Opens an image file of one of :data:`FORMATS`, whatever its name ends in.

    Args:
        source: a path, or a file open for reading.
        name: for the errors.

    Raises:
        ValueError: of no such format, damaged (also where that shows inside ``with``), or of more
            than twice ``PIL.Image.MAX_IMAGE_PIXELS``, where Pillow speaks of an attack, too.
        FileNotFoundError: no such file.
        ImportError: PIL is not installed.
    """
    pil = pil_module()
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(source, str | os.PathLike):
                source = stack.enter_context(open(source, "rb"))  # noqa: PTH123
            image = _identify(pil, source, name)
            stack.callback(image.close)
            yield image
    except (FileNotFoundError, IsADirectoryError, PermissionError, ImportError):
        raise
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: {error}") from None
    except (*DAMAGED, ValueError) as error:
        # Those of this package name the image.
        if isinstance(error, ValueError) and str(error).startswith(name):
            raise
        raise ValueError(f"{name}: a damaged image: {error}") from None


def _identify(pil: ModuleType, file: IO[bytes], name: str) -> ImageFile:
    # Not Image.open: it warns of large files, once and with no name, and does not take formats that
    # this Pillow was built without.
    prefix = file.read(16)
    for kind, module in _READERS.items():
        with contextlib.suppress(ImportError):
            import_module(f"PIL.{module}")
        if kind not in pil.OPEN:
            continue
        factory, accept = pil.OPEN[kind]
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            accepted = accept is None or accept(prefix)
            # Text says why this Pillow cannot read it.
            if not accepted or isinstance(accepted, str):
                continue
            file.seek(0)
            image: ImageFile = factory(file, "")
            _check_size(pil, image, name)
            return image
    raise ValueError(f"{name}: not an image that can be read; wanted one of {', '.join(FORMATS)}")


def _check_size(pil: ModuleType, image: ImageFile, name: str) -> None:
    limit = pil.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > 2 * limit:
        raise ValueError(
            f"{name}: {image.width} x {image.height} pixels; wanted at most {2 * limit:,}, twice "
            "PIL.Image.MAX_IMAGE_PIXELS: raise that for files whose source you trust"
        )


def has_more_frames(image: ImageFile) -> bool:
    """Whether an opened image is an animation or has several pages.

    What a JPEG file of many cameras (MPO) holds behind the photograph, such as its preview or depth
    map, is none.
    """
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))
