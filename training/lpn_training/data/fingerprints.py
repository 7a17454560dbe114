"""Perceptual fingerprints: which pictures show the same, whatever their size, encoding or light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.bool_]

GRID = 17
BITS = 2 * GRID * (GRID - 1)
# A step between neighbouring cells counts where it exceeds this part of the picture's contrast:
# the noise of an encoder stays far below it, and a darker copy has the same steps.
STEP = 0.1
# Same: this part of the steps that either of two pictures has is common. Copies at half the size
# and quality 50 share .83 or more, different photographs of one data set at most .62.
SIMILAR = 0.7
# Mirrored and turned by quarters: all eight.
SYMMETRIES = 8
BLOCK = 128


def fingerprint(image: Image.Image) -> Array:
    """Where a picture grows brighter, left to right and downwards, over a grid of cells.

    Args:
        image: Of any mode and size; a JPEG that is not loaded yet is decoded at a small size.

    Returns:
        (8, BITS) bool: of the picture and of its mirrored and turned forms.

    Raises:
        OSError, ValueError, SyntaxError: It cannot be decoded.
    """
    image.draft("L", (8 * GRID, 8 * GRID))
    flat = image.convert("RGBA" if image.mode in ("P", "LA", "PA") else image.mode).convert("L")
    cells = np.asarray(flat.resize((GRID, GRID), Image.Resampling.BOX), np.float32)
    turned = [np.rot90(cells, quarters) for quarters in range(4)]
    return np.stack([_steps(form) for cells in turned for form in (cells, cells[:, ::-1])])


def _steps(cells: npt.NDArray[np.float32]) -> Array:
    limit = STEP * cells.std()
    across, down = np.diff(cells, axis=1) > limit, np.diff(cells, axis=0) > limit
    return np.concatenate((across.reshape(-1), down.reshape(-1)))


def first_copies(prints: Sequence[Array], known: Sequence[Array]) -> tuple[Array, Array]:
    """Of pictures in order, those that are in ``known``, and those that repeat one before them.

    Args:
        prints: (8, BITS) of each picture.
        known: The same of pictures that must not be among them.

    Returns:
        Two (N,) bool; the second is False where the first is True. A picture counts as repeated
        only where what it repeats is kept itself.
    """
    count = len(prints)
    upright = np.array([found[0] for found in prints], np.float32).reshape(count, BITS)
    foreign = np.array([found[0] for found in known], np.float32).reshape(len(known), BITS)
    in_known, repeats = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for begin in range(0, count, BLOCK):
        end = min(begin + BLOCK, count)
        forms = np.array(prints[begin:end], np.float32).reshape(-1, BITS)
        in_known[begin:end] = _alike(forms, foreign).any(axis=1)
        alike = _alike(forms, upright[:end])
        for index in range(begin, end):
            kept = ~(in_known[:index] | repeats[:index])
            repeats[index] = not in_known[index] and (alike[index - begin, :index] & kept).any()
    return in_known, repeats


def _alike(forms: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> Array:
    """(n, m) bool: which of n pictures (8 n, BITS), in any form, is which of m others (m, BITS)."""
    common = forms @ others.T
    either = forms.sum(axis=1)[:, None] + others.sum(axis=1) - common
    # Two blank pictures have no step between them: nothing says that they differ.
    similar = common >= SIMILAR * either
    result: Array = similar.reshape(len(forms) // SYMMETRIES, SYMMETRIES, len(others)).any(axis=1)
    return result
