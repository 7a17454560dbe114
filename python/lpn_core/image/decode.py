"""From heatmaps to coordinates: beta-Soft-Argmax (LPN paper, eq. 3) and the classic argmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lpn_core import _core
from lpn_core._checks import as_array, check_array, check_flag, check_float32, isa_name
from lpn_core.model.spec import BETA, SCORE_THRESHOLD, DecodeSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import Array, Layout

Decoded: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.float32]]"
LAYOUTS = {"nchw": "(N, K, H, W)", "nhwc": "(N, H, W, K)"}


def soft_argmax(
    heatmaps: Array,
    *,
    layout: Layout,
    beta: float = BETA,
    quarter_step: bool = False,
    isa: str | None = "auto",
) -> Decoded:
    """beta-Soft-Argmax: the mean position under softmax(beta * heatmap).

    Args:
        heatmaps: float32, of any model; a NumPy array or anything that exports DLPack on the CPU.
            Contiguous in either layout: PyTorch's channels_last tensors are not copied.
        layout: "nchw" for (N, K, H, W) or "nhwc" for (N, H, W, K).
        beta: above 0; the larger, the nearer to the maximum.
        quarter_step: adds the classic step of a quarter pixel towards the higher neighbour.
        isa: one of ``lpn_core.supported_isas()``; "auto" or None for the best one.

    Returns:
        Coordinates (N, K, 2) float32, x and y in heatmap pixels, and scores (N, K) float32, the
        heatmap at the coordinates rounded half to even. A heatmap that holds a NaN or +inf, or
        nothing but -inf, gives NaN coordinates and score 0.

    Raises:
        TypeError: not float32, or an option of another type.
        ValueError: a layout, shape or beta that does not fit.
    """
    return _core.soft_argmax(
        *_check_heatmaps(heatmaps, layout),
        check_float32(beta, "beta"),
        check_flag(quarter_step, "quarter_step"),
        isa_name(isa),
    )


def argmax(
    heatmaps: Array, *, layout: Layout, quarter_step: bool = False, isa: str | None = "auto"
) -> Decoded:
    """Classic decode: the position of the maximum; (0, 0) where that is not above 0.

    Arguments, results and errors are those of :func:`soft_argmax`; the score is the maximum, even
    an infinite one.
    """
    return _core.argmax(
        *_check_heatmaps(heatmaps, layout),
        check_flag(quarter_step, "quarter_step"),
        isa_name(isa),
    )


def decode(heatmaps: Array, spec: DecodeSpec, *, layout: Layout, isa: str | None = None) -> Decoded:
    """Decodes as a model's :class:`DecodeSpec` says."""
    if spec.kind == "argmax":
        return argmax(heatmaps, layout=layout, quarter_step=spec.quarter_step, isa=isa)
    assert spec.beta is not None
    return soft_argmax(
        heatmaps, layout=layout, beta=spec.beta, quarter_step=spec.quarter_step, isa=isa
    )


def _check_heatmaps(heatmaps: Array, layout: Layout) -> tuple[NDArray[np.float32], Layout]:
    """The heatmaps and the layout that they have in memory."""
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(
            f"layout is {layout!r}; wanted 'nchw' for (N, K, H, W) or 'nhwc' for (N, H, W, K)"
        )
    array = as_array(heatmaps, "heatmaps")
    if array.ndim == 4 and not array.flags.c_contiguous:
        other: Layout = "nhwc" if layout == "nchw" else "nchw"
        turned = array.transpose((0, 2, 3, 1) if layout == "nchw" else (0, 3, 1, 2))
        if turned.flags.c_contiguous and array.dtype == np.float32:
            return turned, other
    return check_array(heatmaps, "heatmaps", np.float32, LAYOUTS[layout]), layout


def person_scores(
    raw_scores: NDArray[np.floating[Any]], box_scores: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Box score times the mean of the raw joint scores above 0.2.

    The rescoring of SimpleBaseline's COCO evaluation, which LPN's published figures use.

    Args:
        raw_scores: (N, K) heatmap values at the joints, not clipped.
        box_scores: (N,) of the detections; 1 for ground truth.

    Returns:
        (N,), 0 for a person without a joint above 0.2.
    """
    counted = raw_scores > SCORE_THRESHOLD
    total = np.where(counted, raw_scores, 0).sum(axis=1, dtype=np.float64)
    mean = total / np.maximum(counted.sum(axis=1), 1)
    return np.asarray(box_scores * mean, np.float64)
