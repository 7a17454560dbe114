"""The flip test's arithmetic, on heatmaps whose answer one can write down."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from lpn_core import COCO17, CROWDPOSE14, MPII16, KeypointSet, flip


@pytest.mark.parametrize("entry", [COCO17, MPII16, CROWDPOSE14], ids=lambda entry: entry.name)
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_average_against_reference(entry: KeypointSet, shift: int) -> None:
    generator = np.random.default_rng(shift)
    shape = (3, len(entry), 16, 12)
    a, b = (generator.normal(size=shape).astype(np.float32) for _ in range(2))
    wanted = reference.flip_average(a, b, list(entry.mirror_pairs), shift)
    first, second = (np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in (a, b))
    found = flip.average_flipped(first, second, entry, shift=shift)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), wanted, rtol=0, atol=5e-7)


def test_one_peak() -> None:
    heatmaps = np.zeros((1, 4, 6, 17), np.float32)
    heatmaps[0, 2, 1, 5] = 1.0
    back = flip.unmirror_heatmaps(heatmaps, COCO17, shift=1)
    # Mirrored to column 4, shifted to 5; the left shoulder becomes the right one.
    assert np.argwhere(back).tolist() == [[0, 2, 5, 6]]
    assert np.argwhere(flip.unmirror_heatmaps(heatmaps, COCO17, shift=0)).tolist() == [[0, 2, 4, 6]]


def test_first_column_keeps_its_value() -> None:
    heatmaps = np.zeros((1, 1, 5, 17), np.float32)
    heatmaps[0, 0, :, 0] = [1, 2, 3, 4, 5]
    back = flip.unmirror_heatmaps(heatmaps, COCO17, shift=1)
    assert back[0, 0, :, 0].tolist() == [5, 5, 4, 3, 2]


def test_inputs_are_left_alone_and_empty_batches_pass() -> None:
    heatmaps = np.random.default_rng(0).normal(size=(2, 4, 6, 17)).astype(np.float32)
    before = heatmaps.copy()
    flip.average_flipped(heatmaps, heatmaps, COCO17)
    np.testing.assert_array_equal(heatmaps, before)
    empty = np.zeros((0, 4, 6, 17), np.float32)
    assert flip.average_flipped(empty, empty, COCO17).shape == (0, 4, 6, 17)


def test_mirror_crops() -> None:
    crops = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    mirrored = flip.mirror_crops(crops)
    np.testing.assert_array_equal(mirrored, crops[:, :, ::-1])
    assert mirrored.flags.c_contiguous


def test_bad_arguments() -> None:
    heatmaps = np.zeros((1, 4, 6, 17), np.float32)
    with pytest.raises(ValueError, match="17 joints; wanted 16 for 'mpii16'"):
        flip.average_flipped(heatmaps, heatmaps, MPII16)
    with pytest.raises(ValueError, match="shift is 6; wanted 0 to 5"):
        flip.average_flipped(heatmaps, heatmaps, COCO17, shift=6)
    with pytest.raises(ValueError, match="shift is -1"):
        flip.average_flipped(heatmaps, heatmaps, COCO17, shift=-1)
    with pytest.raises(ValueError, match="mirrored ones"):
        flip.average_flipped(heatmaps, heatmaps[:, :3], COCO17)
    with pytest.raises(TypeError, match="heatmaps is float64; wanted float32"):
        flip.average_flipped(heatmaps.astype(float), heatmaps, COCO17)
