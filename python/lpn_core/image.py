"""Images as callers have them: files, PIL images, arrays, DLPack."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from lpn_core._arrays import as_array, is_torch
from lpn_core.image_file import has_more_frames, open_image

if TYPE_CHECKING:
    from PIL.Image import Image

ORDERS = ("rgb", "bgr")
# Modes of 8 bits per channel, which PIL converts to RGB without loss of meaning.
_CONVERTIBLE = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                "HSV")  # fmt: skip

_logger = logging.getLogger(__name__)


def load_image(
    image: object, *, order: str | None = None, exif: bool = True
) -> tuple[NDArray[np.uint8], str]:
    """Loads an image without converting more than it must.

    Args:
        image: a path, a PIL image, or an array (H, W, 3) uint8 (NumPy, or DLPack on the CPU).
        order: "rgb" or "bgr"; required for arrays, refused for paths and PIL images.
        exif: whether a file's EXIF orientation is applied.

    Returns:
        The pixels (H, W, 3) and the order of their channels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, a damaged one, 16-bit or float pixels, or an array of another
            shape or layout.
        TypeError: none of these kinds, or an array of another dtype.
        ImportError: a path, and PIL is not installed.
    """
    if isinstance(image, str | os.PathLike):
        _refuse_order(order, "a path")
        return read_image(image, exif=exif).pixels, "rgb"
    if _is_pil(image):
        _refuse_order(order, "a PIL image")
        return _from_pil(image, "the PIL image"), "rgb"
    pixels = _as_pixels(image)
    if order is None:
        raise ValueError(
            'an array does not say the order of its channels: pass order="rgb", or order="bgr" '
            "for one that OpenCV read"
        )
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; wanted 'rgb' or 'bgr'")
    return _check_pixels(pixels, torch=is_torch(image)), order


def _as_pixels(image: object) -> NDArray[Any]:
    if isinstance(image, np.ndarray | np.generic) or hasattr(image, "__dlpack__"):
        return as_array(image, "image")
    if hasattr(image, "__array__"):
        return np.asarray(image)
    hint = ""
    if hasattr(image, "read") or isinstance(image, bytes):
        opened = "io.BytesIO(image)" if isinstance(image, bytes) else "image"
        hint = f"; PIL.Image.open({opened}) opens it"
    elif isinstance(image, list | tuple):
        hint = "; one image at a time"
    raise TypeError(
        f"image is {type(image).__name__}; wanted a path, a PIL image or an array (H, W, 3) "
        f"uint8{hint}"
    )


def _refuse_order(order: str | None, what: str) -> None:
    if order is not None:
        raise ValueError(f"order={order!r} is for arrays; {what} says its own: leave order out")


def _is_pil(image: object) -> TypeGuard[Image]:
    # An object can be a PIL image only if somebody imported PIL.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


class FilePixels(NamedTuple):
    """The pixels of an image file.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        first_frame_only: whether the file holds more frames or pages, which were left out.
    """

    pixels: NDArray[np.uint8]
    first_frame_only: bool


def read_image(path: str | os.PathLike[str], *, exif: bool = True) -> FilePixels:
    """Reads an image file; of an animation or of several pages the first, with a warning logged.

    Args:
        path: of the file.
        exif: whether its EXIF orientation is applied.

    Raises:
        ValueError: not an image, a damaged one, or one of 16-bit or float pixels.
        FileNotFoundError: no such file.
        ImportError: PIL is not installed.
    """
    name = os.fspath(path)
    with open_image(name, name) as image:
        from PIL import ImageOps

        # PIL cuts 16-bit colour files down to 8 bits while it decodes.
        if any(";16" in str(tile) for tile in image.tile):
            raise ValueError(_depth_message(name, "16 bits per channel"))
        several = has_more_frames(image)
        if several:
            _logger.warning("%s: holds several frames; the first one is taken", name)
        oriented = ImageOps.exif_transpose(image) if exif else image
        return FilePixels(_from_pil(oriented, name), several)


def _from_pil(image: Image, name: str) -> NDArray[np.uint8]:
    if image.mode == "LAB":
        # Which white point it has is not said, so Pillow does not convert it.
        raise ValueError(f"{name} has PIL mode 'LAB'; wanted RGB, which PIL.ImageCms makes of it")
    if image.mode not in _CONVERTIBLE:
        raise ValueError(_depth_message(name, f"PIL mode {image.mode!r}"))
    if image.width == 0 or image.height == 0:
        raise ValueError(f"{name} is {image.width} x {image.height} pixels; wanted at least one")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _depth_message(name: str, found: str) -> str:
    return (
        f"{name} has {found}; wanted 8 bits per channel: how its range maps to 0..255 is not known "
        "here, so scale it first and pass an array (H, W, 3) uint8"
    )


def _check_pixels(array: NDArray[Any], *, torch: bool) -> NDArray[np.uint8]:
    shape = array.shape
    copied = "{}.contiguous()" if torch else "np.ascontiguousarray({})"
    if array.dtype != np.uint8:
        cast = "byte()" if torch else "astype(np.uint8)"
        raise TypeError(
            f"image is {array.dtype}; wanted uint8: how its range maps to 0..255 is not known "
            f"here, so scale it first, as in (image * 255).round().{cast}"
        )
    if array.ndim != 3 or shape[2] != 3:
        hint = ""
        if array.ndim == 2:
            stacked = "torch.stack([image] * 3, -1)" if torch else "np.stack([image] * 3, axis=-1)"
            hint = f"; for a grey image: {stacked}"
        elif array.ndim == 3 and shape[2] == 4:
            hint = f"; without its alpha channel: {copied.format('image[..., :3]')}"
        elif array.ndim == 3 and shape[0] == 3:
            turned = "image.permute(1, 2, 0)" if torch else "image.transpose(1, 2, 0)"
            hint = f"; from (3, H, W): {copied.format(turned)}"
        elif array.ndim == 4:
            hint = "; one image at a time"
        raise ValueError(f"image has shape {shape}; wanted (H, W, 3){hint}")
    if 0 in shape:
        raise ValueError(f"image has shape {shape}; wanted at least one pixel")
    # The crop kernel takes padded rows, so a window image[y0:y1, x0:x1] needs no copy.
    if array.strides[1:] != (3, 1) or (shape[0] > 1 and array.strides[0] < 3 * shape[1]):
        raise ValueError(
            f"image {shape} has strides {array.strides}; wanted contiguous pixels: "
            f"{copied.format('image')} makes a copy; for image[..., ::-1] pass the other order"
        )
    return array
