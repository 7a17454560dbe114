"""Images as callers have them: files, PIL images, arrays, DLPack."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

import numpy as np

from lpn_core._checks import as_array, check_choice, check_flag, is_torch, moved
from lpn_core.image.file import DAMAGED, has_more_frames, open_image, pil_module

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from lpn_core._types import ChannelOrder, ImageLike

ORDERS = ("rgb", "bgr")
# Modes of 8 bits per channel, which PIL converts to RGB without loss of meaning.
_CONVERTIBLE = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                "HSV")  # fmt: skip
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_ORIENTATION = 0x0112


def load_image(
    image: ImageLike, *, order: ChannelOrder | None = None, exif: bool = True
) -> tuple[NDArray[np.uint8], ChannelOrder]:
    """Loads an image without converting more than it must.

    A path and the PIL image that it opens give the same pixels: upright as their EXIF orientation
    says, and where they are transparent, over white, as most viewers show them.

    Args:
        image: a path of a file in one of ``image_file.FORMATS``, a PIL image of any, or an array
            (H, W, 3) uint8 (NumPy, or DLPack on the CPU). An array whose pixels are not contiguous
            in memory, such as image[:, ::-1], is copied.
        order: "rgb" or "bgr"; required for arrays, refused for paths and PIL images.
        exif: whether the EXIF orientation is applied; else pixels are taken as they are stored.

    Returns:
        The pixels (H, W, 3) and the order of their channels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, a damaged one, 16-bit or float pixels, or an array of another
            shape.
        TypeError: none of these kinds, an array of another dtype, or an option of another type.
        ImportError: a path, and PIL is not installed.
    """
    exif = check_flag(exif, "exif")
    if isinstance(image, str | os.PathLike):
        _refuse_order(order, "a path")
        return read_image(image, exif=exif).pixels, "rgb"
    if _is_pil(image):
        _refuse_order(order, "a PIL image")
        try:
            return _from_pil(image, "the PIL image", exif), "rgb"
        except DAMAGED as error:
            raise ValueError(
                f"the PIL image is damaged, or its file was closed before it was read ({error!r})"
            ) from None
    pixels = _as_pixels(image)
    if order is None:
        raise ValueError(
            'an array does not say the order of its channels: pass order="rgb", or order="bgr" '
            "for one that OpenCV read"
        )
    check_choice(order, "order", ORDERS)
    return _check_pixels(pixels, image), order


def _as_pixels(image: object) -> NDArray[Any]:
    if isinstance(image, np.ndarray | np.generic) or hasattr(image, "__dlpack__"):
        dtype = str(getattr(image, "dtype", "uint8"))
        if is_torch(image) and dtype != "torch.uint8":
            # Before NumPy is asked, which does not know all of torch's.
            _refuse_dtype(dtype.removeprefix("torch."), image)
        return as_array(image, "image", np.uint8)
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
        # PIL cuts 16-bit colour files down to 8 bits while it decodes.
        if any(";16" in str(tile) for tile in image.tile):
            raise ValueError(_depth_message(name, "16 bits per channel"))
        several = has_more_frames(image)
        if several:
            # 2 ms that a program without such files need not take.
            import logging

            logging.getLogger(__name__).warning(
                "%s: holds several frames; the first one is taken", name
            )
        return FilePixels(_from_pil(image, name, exif), several)


def _from_pil(image: Image, name: str, exif: bool) -> NDArray[np.uint8]:
    if image.mode == "LAB":
        # Which white point it has is not said, so Pillow does not convert it.
        raise ValueError(f"{name} has PIL mode 'LAB'; wanted RGB, which PIL.ImageCms makes of it")
    if image.mode not in _CONVERTIBLE:
        raise ValueError(_depth_message(name, f"PIL mode {image.mode!r}"))
    if image.width == 0 or image.height == 0:
        raise ValueError(f"{name} is {image.width} x {image.height} pixels; wanted at least one")
    # A view of what Pillow hands out: a copy of it would take longer than all else.
    return np.asarray(_over_white(_upright(image) if exif else image))


def _upright(image: Image) -> Image:
    from PIL import ImageOps

    image.load()  # some kinds of files say their orientation after the pixels
    # Not of every image: without an orientation that is a copy for nothing.
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    turned: Image = ImageOps.exif_transpose(image)
    return turned


def _over_white(image: Image) -> Image:
    """The image in RGB."""
    if image.mode not in _TRANSPARENT and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    # Pillow converts La to nothing but LA.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    shown: Image = pil_module().new("RGBA", rgba.size, "white")
    shown.alpha_composite(rgba)
    return shown.convert("RGB")


def _depth_message(name: str, found: str) -> str:
    return (
        f"{name} has {found}; wanted 8 bits per channel: how its range maps to 0..255 is not known "
        "here, so scale it first and pass an array (H, W, 3) uint8"
    )


def _check_pixels(array: NDArray[Any], image: object) -> NDArray[np.uint8]:
    shape = array.shape
    if array.dtype != np.uint8:
        _refuse_dtype(str(array.dtype), image)
    if array.ndim != 3 or shape[2] != 3:
        hint = ""
        if array.ndim == 2:
            stacked = (
                "torch.stack([image] * 3, -1)" if is_torch(image) else "np.stack([image] * 3, -1)"
            )
            hint = f"; for a grey image: {stacked}"
        elif array.ndim == 3 and shape[2] == 1:
            repeated = "expand(-1, -1, 3)" if is_torch(image) else "repeat(3, axis=2)"
            hint = f"; for a grey image: image.{repeated}"
        elif array.ndim == 3 and shape[2] == 4:
            hint = "; without its alpha channel: image[..., :3]"
        elif array.ndim == 3 and shape[0] == 3:
            hint = f"; from (3, H, W): {moved('image', image, 1, 2, 0)}"
        elif array.ndim == 4:
            hint = "; one image at a time"
        raise ValueError(f"image has shape {shape}; wanted (H, W, 3){hint}")
    if 0 in shape:
        raise ValueError(f"image has shape {shape}; wanted at least one pixel")
    # The crop kernel takes padded rows, so a window image[y0:y1, x0:x1] needs no copy.
    if array.strides[1:] != (3, 1) or (shape[0] > 1 and array.strides[0] < 3 * shape[1]):
        return np.ascontiguousarray(array)
    return array


def _refuse_dtype(dtype: str, image: object) -> NoReturn:
    cast = "byte()" if is_torch(image) else "astype(np.uint8)"
    if dtype.startswith(("int", "uint")):
        hint = f"; where it is 0 to 255 already: image.{cast}"
    elif dtype == "bool":
        hint = f", as in image.{cast} * 255"
    else:
        hint = f", as in (image * 255).round().{cast}"
    raise TypeError(
        f"image is {dtype}; wanted uint8: how its range maps to 0..255 is not known here, so scale "
        f"it first{hint}"
    )
