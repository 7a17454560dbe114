"""COCO keypoint AP and AR: by pycocotools, and of resampled images from what it has matched."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.evaluation.coco_files import Record, completed

# pycocotools' ten numbers for keypoints, in its order.
METRICS = ("AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L")

Array = NDArray[np.float64]


def average_precision(
    content: Record,
    results: Sequence[Record],
    image_ids: Sequence[int] | None = None,
    *,
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """COCO keypoint AP and AR: what pycocotools' ``COCOeval`` says of the results.

    Args:
        content: the annotation file's; not changed. Annotations may lack ``id``, ``iscrowd`` (0)
            and ``num_keypoints`` (then the joints with v > 0).
        results: records as :func:`coco_results` makes them, of any number of images; not changed.
        image_ids: images that count; None for all.
        sigmas: of the joints; None for COCO's.

    Returns:
        The ten numbers by name (``METRICS``), -1 for a size of which the file has no person.

    Raises:
        ImportError: pycocotools is not installed.
        ValueError: a result's image is not in the annotations.
    """
    evaluation = _matched(content, results, image_ids, sigmas)
    with _silence():
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True)}


def resampled_precision(
    content: Record,
    results: Sequence[Record],
    image_ids: Sequence[int],
    *,
    counts: NDArray[np.int64],
    sigmas: Sequence[float] | None = None,
) -> dict[str, Array]:
    """The ten numbers of data sets in which images occur more than once, or not at all.

    They are those that :func:`average_precision` gives with so many copies of each image and its
    results, but people are matched once: a copy's matches are its original's.

    Args:
        content: and results: see :func:`average_precision`.
        image_ids: images that count, each once.
        counts: (B, images) how often each occurs in each of B data sets.
        sigmas: see :func:`average_precision`.

    Returns:
        Each number (B,) by name, -1 as there.
    """
    evaluation = _matched(content, results, image_ids, sigmas)
    place = {image: index for index, image in enumerate(image_ids)}
    images = len(evaluation.params.imgIds)
    recalls = np.asarray(evaluation.params.recThrs)
    found: dict[str, Array] = {}
    for index, size in enumerate(("", "-M", "-L")):
        part = evaluation.evalImgs[index * images : (index + 1) * images]
        matches = [entry for entry in part if entry is not None]
        owners = np.array([place[entry["image_id"]] for entry in matches], np.intp)
        precision, recall = _resampled_curves(matches, counts[:, owners], recalls)
        # Of the limits .50, .55, ..., .95.
        for name, values in (("AP", precision), ("AR", recall)):
            found[f"{name}{size}"] = values.mean(axis=1)
            if not size:
                found |= {f"{name}50": values[:, 0], f"{name}75": values[:, 5]}
    return {name: found[name] for name in METRICS}


def _resampled_curves(
    matches: Sequence[Any], counts: NDArray[np.int64], recalls: Array
) -> tuple[Array, Array]:
    """Mean precision at the recalls, and the last recall, (B, limits) each; -1 without people.

    Args:
        matches: pycocotools' of each image.
        counts: (B, images).
        recalls: at which precision is taken.
    """
    limits = 10
    shape = (len(counts), limits)
    people = np.array([np.count_nonzero(m["gtIgnore"] == 0) for m in matches], np.int64)
    totals = counts @ people
    precision, recall = np.full(shape, -1.0), np.full(shape, -1.0)
    if not matches:
        return precision, recall
    scores = np.concatenate([m["dtScores"] for m in matches])
    order = np.argsort(-scores, kind="stable")
    owners = np.repeat(np.arange(len(matches)), [len(m["dtScores"]) for m in matches])[order]
    counted = ~np.concatenate([m["dtIgnore"] for m in matches], axis=1)[:, order].astype(bool)
    right = np.concatenate([m["dtMatches"] for m in matches], axis=1)[:, order] != 0
    for row, (weights, total) in enumerate(zip(counts, totals, strict=True)):
        if total == 0:
            continue
        # Copies follow their original in the order of scores. Where they are right, precision only
        # grows along them; where they are wrong, recall stands still: their last one says all.
        true = np.cumsum(weights[owners] * (right & counted), axis=1)
        false = np.cumsum(weights[owners] * (~right & counted), axis=1)
        reached = true / total
        exact = true / (true + false + np.spacing(1))
        best = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
        for limit in range(limits):
            first = np.searchsorted(reached[limit], recalls, side="left")
            met = first[first < len(owners)]
            precision[row, limit] = best[limit, met].sum() / len(recalls)
            recall[row, limit] = reached[limit, -1] if len(owners) else 0.0
    return precision, recall


def _matched(
    content: Record,
    results: Sequence[Record],
    image_ids: Sequence[int] | None,
    sigmas: Sequence[float] | None,
) -> Any:
    """A COCOeval whose people are matched; for errors see :func:`average_precision`."""
    coco, cocoeval = load_pycocotools()
    known = {record["id"] for record in content["images"]}
    foreign = [record["image_id"] for record in results if record["image_id"] not in known]
    if foreign:
        raise ValueError(f"a result has image_id {foreign[0]!r}, which the annotations do not have")
    with _silence():
        truth = coco.COCO()
        truth.dataset = {"info": {}, **content, "annotations": completed(content["annotations"])}
        truth.createIndex()
        if results:
            # A copy of the first level: that is where pycocotools writes.
            found = truth.loadRes([dict(record) for record in results])
        else:
            found = coco.COCO()
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        evaluation = cocoeval.COCOeval(truth, found, "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        if image_ids is not None:
            evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
    return evaluation


def _silence() -> contextlib.AbstractContextManager[Any]:
    # pycocotools prints what it does, which a library must not.
    return contextlib.redirect_stdout(io.StringIO())


def load_pycocotools() -> tuple[ModuleType, ModuleType]:
    """``pycocotools.coco`` and ``pycocotools.cocoeval``, imported on first use.

    Raises:
        ImportError: they are not installed; the message says how to install them.
    """
    try:
        from pycocotools import coco, cocoeval
    except ImportError:
        raise ImportError(
            'the COCO metric needs pycocotools: pip install "lpn-core[eval]"'
        ) from None
    return coco, cocoeval
