"""MPII Human Pose: its people, and PCKh.

The annotations are those of the official LPN and SimpleBaseline code: ``annot/valid.json``, a list
with one object per person: ``image``, ``center``, ``scale`` (1 is 200 pixels), ``joints`` and
``joints_vis``, 1-based; and ``annot/gt_valid.mat`` with the head boxes. A ``head_box``
[x1, y1, x2, y2] in every object of the JSON file does instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.evaluation.images import ImagePeople, check_limit, check_path, find_image, read_json
from lpn_core.image.regions import check_boxes
from lpn_core.keypoints import MPII16
from lpn_core.model.spec import InputSpec
from lpn_core.poses import Poses

# A head's size is this part of its box's diagonal (the MPII toolkit's SC_BIAS).
HEAD_SIZE = 0.6
_UNIT = 200.0  # pixels of scale 1
_LOWERED = 15.0  # pixels at scale 1 by which the official code lowers the centre
# What the official code of LPN takes from every prediction on MPII (its TEST.BIAS), in pixels.
_LPN_BIAS = 1.0
_GROUPS = {
    name: tuple(i for i, joint in enumerate(MPII16.names) if joint.endswith(f"_{name}"))
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
_HEAD = MPII16.names.index("head_top")
# Left out of the mean: MPII's annotators do not see them.
_UNCOUNTED = tuple(MPII16.names.index(name) for name in ("pelvis", "thorax"))

Array = NDArray[np.float64]


def pckh(
    keypoints: Array, truth: Array, labelled: NDArray[np.bool_], head_sizes: Array
) -> dict[str, float]:
    """PCKh: the part of the joints that lie within half a head's size of the truth.

    As ``eval_mpii`` of the MPII toolkit and SimpleBaseline's ``MPIIDataset.evaluate`` have it; the
    mean is over all labelled joints but pelvis and thorax. What that code prints as "Mean@0.1" is
    at 0.11 (it takes the twelfth of the limits 0, 0.01, ...) and so a little higher than ours.

    Args:
        keypoints: (N, 16, 2) x, y as found.
        truth: (N, 16, 2) in the same pixels.
        labelled: (N, 16).
        head_sizes: (N,) 0.6 times the diagonal of the head's box.

    Returns:
        "PCKh" (at 0.5), "PCKh@0.1", and PCKh of "head", "shoulder", ..., "ankle" (the mean of left
        and right), all in [0, 1]; -1 for what no label speaks of.
    """
    distances = np.linalg.norm(keypoints - truth, axis=2) / head_sizes[:, None]
    counts = labelled.sum(axis=0)
    counted = np.setdiff1d(np.arange(len(counts)), _UNCOUNTED)

    def right(limit: float) -> NDArray[np.intp]:
        return np.asarray((labelled & (distances <= limit)).sum(axis=0), np.intp)

    def mean(limit: float) -> float:
        total = counts[counted].sum()
        return float(right(limit)[counted].sum() / total) if total else -1.0

    def of(joints: Sequence[int]) -> float:
        parts = [right(0.5)[joint] / counts[joint] for joint in joints if counts[joint]]
        return float(np.mean(parts)) if parts else -1.0

    return {
        "PCKh": mean(0.5),
        "PCKh@0.1": mean(0.1),
        "head": of((_HEAD,)),
        **{name: of(joints) for name, joints in _GROUPS.items()},
    }


def published_bias(architecture: str | None) -> float:
    """The ``bias`` of :class:`MpiiPeople` with which an architecture's published figures were made.

    1 for LPN, whose 88.64 so is of the 0-based coordinates as they are decoded; 0 for
    SimpleBaseline, HRNet and networks that are not known.
    """
    return _LPN_BIAS if architecture is not None and architecture.startswith("lpn") else 0.0


class MpiiPeople:
    """The people of an MPII annotation file, each where its ``center`` and ``scale`` say.

    Attributes:
        keypoint_set: MPII's 16 joints.
        images: each with the boxes of its people.
        bias: pixels taken from every prediction before it is scored.
    """

    keypoint_set = MPII16

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        head_boxes: str | os.PathLike[str] | None = None,
        limit: int = 0,
        bias: float = 0.0,
    ) -> None:
        """Reads the annotations and finds the images.

        Args:
            annotations: ``valid.json`` of the official code.
            images: folder of the images.
            head_boxes: ``gt_valid.mat`` of the official code, read with SciPy; its joints are the
                truth then. None where every object of ``annotations`` has a ``head_box``.
            limit: only so many images, the first (0: all).
            bias: pixels to take from every prediction, the official code's TEST.BIAS; see
                :func:`published_bias`.

        Raises:
            ValueError: a file of another form, whose message names it, or a bias that is no number.
            FileNotFoundError: an image is missing.
            ImportError: ``head_boxes`` without SciPy.
        """
        if not math.isfinite(bias):
            raise ValueError(f"bias is {bias}; wanted a number of pixels, such as 0 or 1")
        self.bias = bias
        annotations, images = check_path(annotations, "annotations"), check_path(images, "images")
        if head_boxes is not None:
            head_boxes = check_path(head_boxes, "head_boxes")
        limit = check_limit(limit)
        entries = _check_annotations(annotations)
        if head_boxes is None:
            truth = np.array([entry["joints"] for entry in entries], np.float64)
            labelled = np.array([entry["joints_vis"] for entry in entries]) > 0
            heads = _head_boxes_of(annotations, entries)
        else:
            truth, labelled, heads = _read_truth(head_boxes, len(entries))
        sizes = HEAD_SIZE * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=1)
        if not (sizes > 0).all():
            row = int(np.argmin(sizes > 0))
            raise ValueError(
                f"{head_boxes or annotations}: person {row} has the head box "
                f"{heads[row].reshape(-1).tolist()}; wanted two different corners x1, y1, x2, y2"
            )
        by_image: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            by_image.setdefault(entry["image"], []).append(index)
        people = []
        order: list[int] = []
        for number, (name, indices) in enumerate(list(by_image.items())[: limit or None]):
            source = f"{annotations}: image {name!r}"
            try:
                boxes, scores = check_boxes([person_box(entries[index]) for index in indices])
            except (TypeError, ValueError) as error:
                raise ValueError(f"{source}: {error}") from None
            people.append(ImagePeople(number, find_image(images, name), boxes, scores))
            order += indices
        self.images: tuple[ImagePeople, ...] = tuple(people)
        self._truth, self._labelled, self._sizes = truth[order], labelled[order], sizes[order]

    def __len__(self) -> int:
        return len(self.images)

    def metrics(
        self,
        poses: Sequence[Poses],
        spec: InputSpec,  # noqa: ARG002  (COCO's needs it: one signature for all data sets)
        *,
        nms: bool | None = None,  # noqa: ARG002  (likewise)
    ) -> dict[str, float]:
        """PCKh of the poses, one entry per image; see :func:`~lpn_core.evaluation.pckh`."""
        return self._pckh(poses, slice(None))

    def resampled(
        self,
        poses: Sequence[Poses],
        spec: InputSpec,  # noqa: ARG002  (as for metrics)
        counts: NDArray[np.int64],
        *,
        nms: bool | None = None,  # noqa: ARG002  (likewise)
    ) -> dict[str, Array]:
        """The same numbers (B,) with each image taken ``counts`` (B, images) times."""
        owners = np.repeat(np.arange(len(self)), [len(image.boxes) for image in self.images])
        rows = np.arange(len(owners))
        found = [self._pckh(poses, np.repeat(rows, count[owners])) for count in counts]
        return {name: np.array([numbers[name] for numbers in found]) for name in found[0]}

    def _pckh(self, poses: Sequence[Poses], rows: slice | NDArray[np.intp]) -> dict[str, float]:
        found = np.concatenate([people.keypoints for people in poses]).astype(np.float64)
        # MPII's first pixel is 1.
        places = found[rows] - self.bias + 1
        return pckh(places, self._truth[rows], self._labelled[rows], self._sizes[rows])


def _check_annotations(file: Path) -> list[dict[str, Any]]:
    entries = read_json(file)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{file}: wanted MPII annotations, a list with one object per person")
    keys = {"image", "center", "scale", "joints", "joints_vis"}
    for index, entry in enumerate(entries):
        missing = sorted(keys - entry.keys()) if isinstance(entry, dict) else sorted(keys)
        if missing:
            raise ValueError(f"{file}: entry {index} has no {missing[0]!r}; wanted {sorted(keys)}")
        shapes = np.shape(entry["joints"]), np.shape(entry["joints_vis"])
        if shapes != ((16, 2), (16,)):
            raise ValueError(
                f"{file}: entry {index} has joints and joints_vis of shapes {shapes[0]} and "
                f"{shapes[1]}; wanted (16, 2) and (16,)"
            )
    return entries


def person_box(entry: dict[str, Any]) -> list[float]:
    """The 0-based xywh box that, grown and padded by 1.25, is the official code's region."""
    (x, y), scale = entry["center"], entry["scale"]
    side = _UNIT * scale
    return [x - 1 - side / 2, y + _LOWERED * scale - 1 - side / 2, side, side]


def _head_boxes_of(file: Path, entries: Sequence[dict[str, Any]]) -> Array:
    for index, entry in enumerate(entries):
        if np.shape(entry.get("head_box", ())) != (4,):
            raise ValueError(
                f"{file}: entry {index} has no head_box [x1, y1, x2, y2], without which there is "
                "no PCKh; wanted one in every entry, or the official code's gt_valid.mat "
                "(--head-boxes on the command line)"
            )
    return np.array([entry["head_box"] for entry in entries], np.float64).reshape(-1, 2, 2)


def _read_truth(file: Path, count: int) -> tuple[Array, NDArray[np.bool_], Array]:
    """Joints (N, 16, 2), which are labelled (N, 16), and head boxes (N, 2, 2) of gt_valid.mat."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError(f"{file}: reading a .mat file needs SciPy: pip install scipy") from None
    try:
        content = loadmat(file)
        truth = content["pos_gt_src"].transpose(2, 0, 1).astype(np.float64)
        missing = content["jnt_missing"].T
        heads = content["headboxes_src"].transpose(2, 0, 1).astype(np.float64)
    except OSError:
        raise
    except (KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"{file}: wanted gt_valid.mat of the official code, with pos_gt_src, jnt_missing and "
            f"headboxes_src: {type(error).__name__}: {error}"
        ) from None
    shapes = truth.shape, missing.shape, heads.shape
    if shapes != ((count, 16, 2), (count, 16), (count, 2, 2)):
        raise ValueError(
            f"{file}: has joints {shapes[0]}, labels {shapes[1]} and head boxes {shapes[2]}; "
            f"wanted those of the {count} people of the annotations"
        )
    return truth, missing == 0, heads
