"""Independent float64 NumPy reference of what surrounds the network: crop, decode, flip, OKS.

Written from the published definitions (arXiv 1911.10346 and the behaviour of its official code); it
shares no code with ``lpn_core``. Heatmaps are (..., H, W); coordinates are (..., 2) as x, y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def _sample(heatmaps: Float, x: NDArray[np.int64], y: NDArray[np.int64]) -> Float:
    """Heatmap values (...) at integer positions of shape (...), which must lie inside."""
    flat = heatmaps.reshape(*heatmaps.shape[:-2], -1)
    index = y * heatmaps.shape[-1] + x
    return np.take_along_axis(flat, index[..., None], axis=-1)[..., 0]


def soft_argmax(heatmaps: ArrayLike, beta: float) -> tuple[Float, Float]:
    """beta-Soft-Argmax: coordinates (..., 2), and the heatmap at them rounded half to even."""
    maps = np.asarray(heatmaps, dtype=np.float64)
    height, width = maps.shape[-2:]
    weights = np.exp(beta * (maps - maps.max(axis=(-2, -1), keepdims=True)))
    weights /= weights.sum(axis=(-2, -1), keepdims=True)
    x = (weights.sum(axis=-2) * np.arange(width)).sum(axis=-1)
    y = (weights.sum(axis=-1) * np.arange(height)).sum(axis=-1)
    rounded_x = np.clip(np.round(x), 0, width - 1).astype(np.int64)
    rounded_y = np.clip(np.round(y), 0, height - 1).astype(np.int64)
    return np.stack([x, y], axis=-1), _sample(maps, rounded_x, rounded_y)


def argmax(heatmaps: ArrayLike) -> tuple[Float, Float]:
    """Classic decode: the first maximum's position, (0, 0) where it is <= 0, and its value."""
    maps = np.asarray(heatmaps, dtype=np.float64)
    flat = maps.reshape(*maps.shape[:-2], -1)
    index = flat.argmax(axis=-1)
    scores = flat.max(axis=-1)
    coordinates = np.stack([index % maps.shape[-1], index // maps.shape[-1]], axis=-1)
    return coordinates * (scores > 0)[..., None].astype(np.float64), scores


def _neighbours(maps: Float, coordinates: Float) -> tuple[Bool, Float, Float]:
    """Where the quarter step applies, and the horizontal and vertical differences there."""
    height, width = maps.shape[-2:]
    x = np.floor(coordinates[..., 0] + 0.5).astype(np.int64)
    y = np.floor(coordinates[..., 1] + 0.5).astype(np.int64)
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    x, y = np.where(inside, x, 1), np.where(inside, y, 1)
    horizontal = _sample(maps, x + 1, y) - _sample(maps, x - 1, y)
    vertical = _sample(maps, x, y + 1) - _sample(maps, x, y - 1)
    return inside, horizontal, vertical


def quarter_step(heatmaps: ArrayLike, coordinates: Float) -> Float:
    """Moves each coordinate a quarter pixel towards its higher neighbour."""
    maps = np.asarray(heatmaps, dtype=np.float64)
    inside, horizontal, vertical = _neighbours(maps, coordinates)
    step = 0.25 * np.stack([np.sign(horizontal), np.sign(vertical)], axis=-1)
    return coordinates + step * inside[..., None]


def ambiguous(heatmaps: ArrayLike, coordinates: Float, *, peak: bool, margin: float = 1e-5) -> Bool:
    """Heatmaps whose decode hangs on the last bit: a rounding boundary or a tie within ``margin``.

    Args:
        heatmaps: (..., H, W).
        coordinates: Their decode before the quarter step, (..., 2).
        peak: Whether the decode picks a maximum, which can tie with the runner-up or with 0.
        margin: In pixels and in heatmap units.
    """
    maps = np.asarray(heatmaps, dtype=np.float64)
    fraction = coordinates - np.floor(coordinates)
    boundary = (np.abs(fraction - 0.5) < margin).any(axis=-1)
    inside, horizontal, vertical = _neighbours(maps, coordinates)
    level = (np.abs(horizontal) < margin) | (np.abs(vertical) < margin)
    result: Bool = boundary | (inside & level)
    if peak:
        flat = maps.reshape(*maps.shape[:-2], -1)
        top = np.partition(flat, flat.shape[-1] - 2, axis=-1)[..., -2:]
        result |= (top[..., 1] - top[..., 0] < margin) | (np.abs(top[..., 1]) < margin)
    return result


def flip_average(
    heatmaps: ArrayLike, mirrored: ArrayLike, pairs: list[tuple[int, int]], shift: int
) -> Float:
    """Flip test: heatmaps (..., K, H, W) of a crop averaged with those of the mirrored crop.

    ``mirrored`` is mirrored back, its left and right joints are swapped, and it is moved ``shift``
    pixels to the right, where the first columns keep their values.
    """
    back = np.asarray(mirrored, dtype=np.float64)[..., ::-1].copy()
    for left, right in pairs:
        back[..., [left, right], :, :] = back[..., [right, left], :, :]
    if shift:
        back[..., shift:] = back[..., :-shift].copy()
    return (np.asarray(heatmaps, dtype=np.float64) + back) / 2


def padded_box(box: ArrayLike, aspect: float, padding: float) -> tuple[Float, Float]:
    """Centre and padded size (..., 2) of boxes xywh, grown to ``aspect`` = width / height."""
    boxes = np.asarray(box, dtype=np.float64)
    centre = boxes[..., :2] + boxes[..., 2:4] / 2
    width, height = boxes[..., 2], boxes[..., 3]
    grown = np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], -1)
    return centre, grown * padding


def heatmap_to_image(
    coordinates: Float, centre: Float, size: Float, width: int, height: int
) -> Float:
    """Inverse of ``x' = (x - cx) * W / sw + W / 2`` on a W x H grid; y has the scale of x."""
    scale = size[..., :1] / width
    return (coordinates - np.array([width, height]) / 2) * scale + centre


def crop_matrix(centre: Float, size: Float, width: int, height: int) -> Float:
    """Destination pixel -> source pixel (..., 2, 3); the centre is at (W / 2, H / 2)."""
    scale = size[..., 0] / width
    matrix = np.zeros((*scale.shape, 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., 0, 2] = centre[..., 0] - scale * width / 2
    matrix[..., 1, 2] = centre[..., 1] - scale * height / 2
    return matrix


def bilinear_crop(image: NDArray[np.uint8], matrix: ArrayLike, height: int, width: int) -> Float:
    """Samples image (H, W, C) at ``matrix @ (x, y, 1)`` for every output pixel, 0 outside it."""
    m = np.asarray(matrix, dtype=np.float64)
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    source_x = m[0, 0] * x + m[0, 1] * y + m[0, 2]
    source_y = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    left, top = np.floor(source_x), np.floor(source_y)
    result = np.zeros((height, width, image.shape[2]))
    for dx in (0, 1):
        for dy in (0, 1):
            tap_x, tap_y = left + dx, top + dy
            weight = (1 - np.abs(source_x - tap_x)) * (1 - np.abs(source_y - tap_y))
            inside = (tap_x >= 0) & (tap_x < image.shape[1]) & (tap_y >= 0)
            inside &= tap_y < image.shape[0]
            column = np.where(inside, tap_x, 0).astype(np.int64)
            row = np.where(inside, tap_y, 0).astype(np.int64)
            result += image[row, column] * (weight * inside)[..., None]
    return result


def oks(
    predicted: ArrayLike, truth: ArrayLike, visible: ArrayLike, area: float, sigmas: ArrayLike
) -> float:
    """Object keypoint similarity (COCO) of K predicted points (K, 2) over the labelled ones."""
    difference = np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    variance = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    labelled = np.asarray(visible) > 0
    if not labelled.any():
        raise ValueError("no keypoint is labelled: OKS is undefined")
    exponent = (difference**2).sum(axis=-1) / variance / (area + np.spacing(1)) / 2
    return float(np.exp(-exponent)[labelled].mean())
