"""Skeletons on a picture: anti-aliased, as thick as the person is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpn_core.image import load_image
from lpn_core.image_file import pil_module

if TYPE_CHECKING:
    from PIL.Image import Image

    from lpn_core.poses import Pose, Poses

_LEFT = (255, 140, 26)
_RIGHT = (38, 150, 255)
_MIDDLE = (64, 220, 120)
_OUTLINE = (16, 16, 16)
# A person is drawn this many times larger and scaled down, within a bounded canvas.
_SUPERSAMPLING = 4
_MAX_CANVAS = 4096

Point = tuple[float, float]


def draw_poses(
    poses: Poses, image: object, *, threshold: float, order: str | None, exif: bool
) -> Image:
    """See :meth:`lpn_core.poses.Poses.draw`."""
    pixels, found_order = load_image(image, order=order, exif=exif)
    rgb = pixels if found_order == "rgb" else pixels[..., ::-1]
    canvas: Image = pil_module().fromarray(np.ascontiguousarray(rgb))
    for person in poses:
        _draw_person(canvas, person, threshold)
    return canvas


def _draw_person(canvas: Image, person: Pose, threshold: float) -> None:
    from PIL import ImageDraw

    pil = pil_module()
    visible = (person.scores >= threshold) & np.isfinite(person.keypoints).all(axis=1)
    if not visible.any():
        return
    thickness = min(_thickness(person.keypoints[visible], person.box), max(canvas.size) / 8)
    bounds = _bounds(person.keypoints[visible], 2 * thickness + 2, canvas.size)
    if bounds is None:
        return
    left, top, right, bottom = bounds
    longest = max(right - left, bottom - top)
    factor = max(1, min(_SUPERSAMPLING, _MAX_CANVAS // longest))
    size = ((right - left) * factor, (bottom - top) * factor)
    # The layer starts as the photograph, so that its edges blend with what is there.
    layer = canvas.crop(bounds).resize(size, pil.Resampling.NEAREST)
    pen = ImageDraw.Draw(layer)
    # Integer coordinates are pixel centres in the image and corners on the enlarged layer.
    points = [
        ((float(x) + 0.5 - left) * factor, (float(y) + 0.5 - top) * factor)
        for x, y in person.keypoints
    ]
    sides = _sides(person)
    limbs = [(a, b) for a, b in person.keypoint_set.skeleton if visible[a] and visible[b]]
    joints = np.flatnonzero(visible)
    # Nothing is drawn further out than this: Pillow's time and its integers have bounds.
    reach = 2 * (thickness + 2) * factor
    # The outline of the whole figure first, then its colours.
    for width, outline in ((thickness * 1.6, True), (thickness, False)):
        radius = width * factor / 2
        for a, b in limbs:
            ends = _clip_line(points[a], points[b], size, reach)
            if ends is not None:
                _line(pen, *ends, radius, _OUTLINE if outline else sides[a][b])
        for joint in joints:
            if _clip_line(points[joint], points[joint], size, reach) is None:
                continue
            _dot(pen, points[joint], radius * 1.25, _OUTLINE if outline else sides[joint][joint])
    canvas.paste(layer.resize((right - left, bottom - top), pil.Resampling.BOX), (left, top))


def _thickness(points: NDArray[np.float32], box: NDArray[np.float64]) -> float:
    """Of the lines in image pixels: a fiftieth of the person, at least what one can see."""
    extent = float(np.ptp(points, axis=0).max())
    return max(1.5, 0.02 * max(extent, min(float(box[2:].max()), 2 * extent)))


def _bounds(
    points: NDArray[np.float32], margin: float, size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The part of the image that the drawing touches, or None where that is nothing."""
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, size)
    high = np.clip(np.ceil(points.max(axis=0) + margin), 0, size)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _clip_line(
    start: Point, end: Point, size: tuple[int, int], reach: float
) -> tuple[Point, Point] | None:
    """The part of a line that lies within ``reach`` of a raster, or None where there is none."""
    first, last = 0.0, 1.0
    for a, b, extent in zip(start, end, size, strict=True):
        low, high = -reach - a, extent + reach - a
        if a == b:
            if not low <= 0 <= high:
                return None
            continue
        crossings = sorted((low / (b - a), high / (b - a)))
        first, last = max(first, crossings[0]), min(last, crossings[1])
    if first > last:
        return None
    across, down = end[0] - start[0], end[1] - start[1]
    # Ends that are within stay as they are, to the last bit.
    return (
        start if first == 0 else (start[0] + first * across, start[1] + first * down),
        end if last == 1 else (start[0] + last * across, start[1] + last * down),
    )


def _sides(person: Pose) -> list[list[tuple[int, int, int]]]:
    """The colour of each pair of joints: of their side, or the middle's where they differ."""
    names = person.keypoint_set.names

    def colour(a: str, b: str) -> tuple[int, int, int]:
        for prefix, value in (("left_", _LEFT), ("right_", _RIGHT)):
            if a.startswith(prefix) and b.startswith(prefix):
                return value
            # A limb between a side and the middle belongs to the side.
            others = [name for name in (a, b) if not name.startswith(("left_", "right_"))]
            if len(others) == 1 and (a.startswith(prefix) or b.startswith(prefix)):
                return value
        return _MIDDLE

    return [[colour(a, b) for b in names] for a in names]


def _line(
    pen: object, start: Point, end: Point, radius: float, colour: tuple[int, int, int]
) -> None:
    direction = np.subtract(end, start)
    length = float(np.hypot(*direction))
    if length > 0:
        normal = np.array([-direction[1], direction[0]]) * (radius / length)
        corners = [start + normal, end + normal, end - normal, start - normal]
        pen.polygon([tuple(corner) for corner in corners], fill=colour)  # type: ignore[attr-defined]
    _dot(pen, start, radius, colour)
    _dot(pen, end, radius, colour)


def _dot(pen: object, centre: Point, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)  # type: ignore[attr-defined]
