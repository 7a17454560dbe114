"""Keypoint sets: consistent, and COCO's as pycocotools has them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from lpn_core import keypoints

ROOT = Path(__file__).resolve().parents[1]
SETS = list(keypoints.KEYPOINT_SETS.values())


@pytest.mark.parametrize("entry", SETS, ids=lambda entry: entry.name)
def test_sets_are_consistent(entry: keypoints.KeypointSet) -> None:
    count = int("".join(c for c in entry.name if c.isdigit()))
    assert len(entry) == len(entry.names) == len(set(entry.names)) == count
    assert entry.sigmas is None or len(entry.sigmas) == count
    assert all(0 <= a < count and 0 <= b < count and a != b for a, b in entry.skeleton)
    # Every joint is on some limb.
    assert {joint for limb in entry.skeleton for joint in limb} == set(range(count))


@pytest.mark.parametrize("entry", SETS, ids=lambda entry: entry.name)
def test_mirror_exchanges_exactly_the_sides(entry: keypoints.KeypointSet) -> None:
    index = entry.mirror_index
    assert [index[i] for i in index] == list(range(len(entry)))
    for name, mirrored in zip(entry.names, (entry.names[i] for i in index), strict=True):
        if name.startswith("left_"):
            assert mirrored == "right_" + name.removeprefix("left_")
        elif not name.startswith("right_"):
            assert mirrored == name
    # The skeleton is as symmetric as the body.
    limbs = {frozenset(limb) for limb in entry.skeleton}
    assert {frozenset((index[a], index[b])) for a, b in entry.skeleton} == limbs


def test_coco_sigmas_are_those_of_pycocotools() -> None:
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    wanted = cocoeval.Params(iouType="keypoints").kpt_oks_sigmas
    assert keypoints.COCO17.sigmas is not None
    np.testing.assert_allclose(keypoints.COCO17.sigmas, wanted, rtol=0, atol=1e-12)


def test_get() -> None:
    assert keypoints.get("mpii16") is keypoints.MPII16
    with pytest.raises(ValueError, match="unknown keypoint set 'coco'; known: coco17, mpii16"):
        keypoints.get("coco")


def test_crowdpose_sigmas_are_those_of_its_authors() -> None:
    """COCO's of the same joints, and 0.079 for head and neck; left and right alike."""
    sigmas = dict(zip(keypoints.CROWDPOSE14.names, keypoints.CROWDPOSE14.sigmas or (), strict=True))
    wanted = {"shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107, "knee": 0.087,
              "ankle": 0.089, "head": 0.079, "neck": 0.079}  # fmt: skip
    assert {name.split("_")[-1]: sigma for name, sigma in sigmas.items()} == wanted
    assert all(sigmas[name] == wanted[name.split("_")[-1]] for name in sigmas)


def test_keypoints_are_points() -> None:
    """A set of them, which says their names and sides, is called so."""
    set_as_points = re.compile(
        r"\bkeypoints(: (\w+ \| )?KeypointSet|\(self\) -> KeypointSet| = (COCO17|MPII16)\b)"
        r"|^\s*from lpn_core import (\w+, )*keypoints(,|$)",
        re.MULTILINE,
    )
    offenders = [
        f"{path.name}: {found[0].strip()}"
        for folder in ("python", "training")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for found in set_as_points.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not offenders, "\n".join(offenders)
