"""From a person's box to the network's input, and from its coordinates back to the image.

The convention is that of the LPN and SimpleBaseline code ("center"): the box's centre goes to
(W / 2, H / 2) of a W x H raster, for the input crop and for the heatmaps alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lpn_core import _core
from lpn_core._checks import as_array, check_array, check_choice, check_int, isa_name
from lpn_core._records import dataclass
from lpn_core.model.spec import InputSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import Array, ArrayLike, BoxFormat, ChannelOrder

BOX_FORMATS = ("xywh", "xyxy")
_HUGE = 10**300


@dataclass(frozen=True)
class Regions:
    """The parts of an image that are shown to the network, one per person.

    Attributes:
        centers: (N, 2) float64, x and y in image pixels.
        sizes: (N, 2) float64, width and height in image pixels, grown and padded.
    """

    centers: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centers)

    def __getitem__(self, index: slice) -> Regions:
        return Regions(self.centers[index], self.sizes[index])

    def matrices(self, height: int, width: int) -> NDArray[np.float64]:
        """(N, 2, 3): maps (x, y, 1) of a height x width raster over the region to the image."""
        result = np.zeros((len(self), 2, 3))
        scales = self.sizes / (width, height)
        result[:, 0, 0] = scales[:, 0]
        result[:, 1, 1] = scales[:, 1]
        result[:, :, 2] = self.centers - scales * (width / 2, height / 2)
        return result

    def to_image(
        self, coordinates: NDArray[np.floating[Any]], height: int, width: int
    ) -> NDArray[np.float64]:
        """Maps (N, K, 2) x, y of a height x width raster over the regions to image pixels."""
        scales = self.sizes / (width, height)
        offsets = np.asarray(coordinates, np.float64) - (width / 2, height / 2)
        return offsets * scales[:, None, :] + self.centers[:, None, :]


def check_boxes(
    boxes: ArrayLike, box_format: BoxFormat = "xywh"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Checks boxes given by a caller.

    Args:
        boxes: (N, 4), or (N, 5) with a score in the last column; N may be 0. Numbers of any type
            and memory order.
        box_format: "xywh" (corner and size, as COCO) or "xyxy" (two corners).

    Returns:
        (N, 4) float64 x, y, width, height and (N,) float64 scores (1 where none were given).

    Raises:
        ValueError: another shape; or a box that is not finite, not of positive size, or with a
            negative score: the message names its row.
        TypeError: not numbers, or a ``box_format`` that is not text.
    """
    check_choice(box_format, "box_format", BOX_FORMATS)
    return _core.check_boxes(_box_array(boxes), box_format)


def _box_array(boxes: object) -> NDArray[np.float64]:
    if hasattr(boxes, "__dlpack__"):
        array = as_array(boxes, "boxes")
    else:
        try:
            array = np.asarray(boxes)
        except ValueError:
            raise ValueError(
                "boxes have rows of different lengths; wanted 4, or 5 with scores"
            ) from None
    if array.dtype == object:
        array = _of_large_integers(array)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"boxes are {array.dtype}; wanted numbers (N, 4), or (N, 5) with scores")
    # What [] and [[]] give; a larger empty array with other columns is a mistake, not "nobody".
    if array.shape in ((0,), (1, 0)):
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        hint = "; one box is [[x, y, w, h]]" if array.ndim == 1 else ""
        raise ValueError(
            f"boxes have shape {array.shape}; wanted (N, 4), or (N, 5) with scores{hint}"
        )
    with np.errstate(over="ignore"):  # of longer floats, which become infinite: refused as such
        return array.astype(np.float64, order="C")


def _of_large_integers(array: NDArray[Any]) -> NDArray[Any]:
    """Rows with an integer of more than 64 bits, which NumPy holds as objects only, as floats."""
    values = [
        float(max(-_HUGE, min(value, _HUGE))) if isinstance(value, int) and value.bit_length() > 63
        else value
        for value in array.flat
    ]  # fmt: skip
    changed = any(new is not old for new, old in zip(values, array.flat, strict=True))
    return np.array(values).reshape(array.shape) if changed else array


def clip_box(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Clips (N, 4) xywh boxes to an image, as the official evaluation does with ground truth.

    The far corner is the last pixel, hence the subtracted ones; sizes may become 0 or less.
    """
    x1 = np.maximum(0, boxes[:, 0])
    y1 = np.maximum(0, boxes[:, 1])
    x2 = np.minimum(width - 1, x1 + np.maximum(0, boxes[:, 2] - 1))
    y2 = np.minimum(height - 1, y1 + np.maximum(0, boxes[:, 3] - 1))
    return np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)


def regions(boxes: Array, spec: InputSpec) -> Regions:
    """The region shown for each box: grown to the input's aspect ratio, then padded.

    Args:
        boxes: (N, 4) xywh, as :func:`check_boxes` gives them.
        spec: of the model.

    Raises:
        TypeError: not float64.
        ValueError: another shape or layout.
    """
    array = check_array(boxes, "boxes", np.float64, "(N, 4)")
    return Regions(*_core.grow_boxes(array, spec.width / spec.height, spec.padding))


def crop(
    image: Array,
    order: ChannelOrder,
    where: Regions,
    spec: InputSpec,
    *,
    threads: int = 1,
    isa: str | None = None,
) -> NDArray[np.float32]:
    """Cuts and normalises the network's input.

    Args:
        image: (H, W, 3) uint8; NumPy, or DLPack on the CPU.
        order: of its channels, "rgb" or "bgr".
        where: N regions.
        spec: of the model.
        threads: that work on it.
        isa: instruction set; None for the best one.

    Returns:
        (N, height, width, 3) float32 in the network's own channel order; outside the image the
        pixels are black (before normalisation).

    Raises:
        TypeError: an image that is not uint8.
        ValueError: an image of another shape or layout, or an order that is not one.
    """
    return _core.crop_affine(
        as_array(image, "image"),
        where.matrices(spec.height, spec.width),
        spec.height,
        spec.width,
        spec.channel_map(order),
        spec.scale,
        spec.shift,
        isa_name(isa),
        check_int(threads, "threads"),
    )
