"""The flip test: the mirrored crop's heatmaps, mirrored back and averaged with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpn_core._checks import check_array, check_int
from lpn_core.keypoints import KeypointSet

if TYPE_CHECKING:
    from lpn_core._types import Array


def mirror_crops(crops: Array) -> NDArray[np.float32]:
    """Mirrors crops left to right.

    Args:
        crops: (N, H, W, C) float32.

    Returns:
        (N, H, W, C) float32.

    Raises:
        TypeError: another dtype.
        ValueError: another number of axes.
    """
    array = check_array(crops, "crops", np.float32, "(N, H, W, C)")
    return np.ascontiguousarray(array[:, :, ::-1])


def unmirror_heatmaps(
    heatmaps: Array, keypoint_set: KeypointSet, *, shift: int = 1
) -> NDArray[np.float32]:
    """Makes a mirrored crop's heatmaps comparable with those of the crop itself.

    They are mirrored, left and right joints swapped, and shifted ``shift`` pixels to the right
    (the first columns keep their values), as a stride that is not symmetric asks for.

    Args:
        heatmaps: (N, H, W, K) float32.
        keypoint_set: the set of the K joints.
        shift: 0 or more; part of a model's decode description.

    Returns:
        (N, H, W, K) float32.

    Raises:
        ValueError: another number of joints, or a shift that does not fit.
    """
    if not isinstance(keypoint_set, KeypointSet):
        raise TypeError(
            f"keypoint_set is {type(keypoint_set).__name__}; wanted a KeypointSet, such as "
            "lpn_core.COCO17 or what lpn_core.keypoints.get(name) gives"
        )
    array = check_array(heatmaps, "heatmaps", np.float32, "(N, H, W, K)")
    if array.shape[3] != len(keypoint_set):
        raise ValueError(
            f"heatmaps have {array.shape[3]} joints; wanted {len(keypoint_set)} for "
            f"{keypoint_set.name!r}"
        )
    width, shift = array.shape[2], check_int(shift, "shift")
    if not 0 <= shift < width:
        raise ValueError(f"shift is {shift}; wanted 0 to {width - 1} for heatmaps {width} wide")
    mirrored = np.take(array[:, :, ::-1], keypoint_set.mirror_index, axis=3)
    # Filled in place: indexing and concatenation may choose another memory layout than C order.
    result = np.empty(array.shape, np.float32)
    result[:, :, :shift] = mirrored[:, :, :shift]
    result[:, :, shift:] = mirrored[:, :, : width - shift]
    return result


def average_flipped(
    heatmaps: Array, mirrored: Array, keypoint_set: KeypointSet, *, shift: int = 1
) -> NDArray[np.float32]:
    """The flip test's heatmaps.

    Args:
        heatmaps: (N, H, W, K) float32 of the crops.
        mirrored: the same of the mirrored crops, as the network gave them.
        keypoint_set: the set of the K joints.
        shift: see :func:`unmirror_heatmaps`.

    Returns:
        (N, H, W, K) float32.

    Raises:
        ValueError: shapes that differ, or see :func:`unmirror_heatmaps`.
    """
    array = check_array(heatmaps, "heatmaps", np.float32, "(N, H, W, K)")
    back = unmirror_heatmaps(mirrored, keypoint_set, shift=shift)
    if back.shape != array.shape:
        raise ValueError(f"heatmaps are {array.shape}, mirrored ones {back.shape}; wanted the same")
    back += array
    back *= 0.5
    return back
