"""COCO keypoints: the people of an annotation file, results, and their average precision."""

from __future__ import annotations

import json
import logging
import os
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpn_core._checks import check_flag
from lpn_core._files import write_atomically
from lpn_core.evaluation.average_precision import average_precision, resampled_precision
from lpn_core.evaluation.coco_files import (
    Record,
    detected_boxes,
    read_annotations,
    true_boxes,
)
from lpn_core.evaluation.images import ImagePeople, check_limit, check_path, find_image
from lpn_core.evaluation.suppression import oks_nms
from lpn_core.image.regions import check_boxes, clip_box, regions
from lpn_core.keypoints import COCO17, KeypointSet
from lpn_core.model.spec import InputSpec
from lpn_core.poses import Poses

logger = logging.getLogger(__name__)


class CocoPeople:
    """The people of a COCO keypoint file: those it labels, or those that a detector found.

    Attributes:
        keypoint_set: the joints.
        content: the annotation file's, in COCO's form.
        images: those that count, each with its boxes: with ground-truth boxes the images that show
            a person with a labelled joint, with detections all.
        nms: whether OKS-NMS is the custom: with detections.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        detections: str | os.PathLike[str] | None = None,
        limit: int = 0,
        clip: bool = False,
        keypoint_set: KeypointSet = COCO17,
    ) -> None:
        """Reads the annotations and finds the images.

        Args:
            annotations: ``person_keypoints_*.json``.
            images: folder of the images; see :func:`~lpn_core.evaluation.find_image`.
            detections: a COCO detection results file, whose boxes of people replace the true ones.
            limit: only so many images, the first (0: all).
            clip: clips true boxes to the image as SimpleBaseline and LPN do, which also makes each
                a pixel shorter: small people notice (0.01 AP on a few hundred). Those of a detector
                stay as they are, there as here.
            keypoint_set: the joints of the file; where they have no sigmas of their own, all have
                that of COCO's shoulders.

        Raises:
            ValueError: a file of another form (the message names it and the entry), or of other
                joints, or nobody to find in these images.
            FileNotFoundError: an image is missing.
        """
        annotations, images = check_path(annotations, "annotations"), check_path(images, "images")
        if detections is not None:
            detections = check_path(detections, "detections")
        limit, clip = check_limit(limit), check_flag(clip, "clip")
        self.content: Record
        self.content, labelled = read_annotations(annotations)
        self.keypoint_set = keypoint_set
        if labelled.names != keypoint_set.names:
            raise ValueError(
                f"{annotations} labels the {len(labelled)} joints "
                f"{reprlib.repr(labelled.names)}; the model's are {keypoint_set.name!r}, "
                f"{reprlib.repr(keypoint_set.names)}"
            )
        self.nms = detections is not None
        clip = clip and detections is None
        records: list[Record] = self.content["images"]
        if detections is None:
            found = true_boxes(annotations, self.content)
            records = [record for record in records if record["id"] in found]
        else:
            found = detected_boxes(detections, {record["id"] for record in records})
            self._look_for_truth(annotations)
        people = []
        for record in records[:limit] if limit else records:
            source = f"{detections or annotations}: image_id {record['id']}"
            # "val2017" of person_keypoints_val2017.json.
            path = find_image(images, record["file_name"], split=annotations.stem.split("_")[-1])
            people.append(_image_people(record, path, found.get(record["id"], []), source, clip))
        self.images: tuple[ImagePeople, ...] = tuple(people)

    def __len__(self) -> int:
        return len(self.images)

    def _look_for_truth(self, annotations: Path) -> None:
        # Lists of images without annotations are usual: those of test sets.
        try:
            true_boxes(annotations, self.content)
        except ValueError as error:
            logger.warning("%s; the poses can be written, AP and AR are -1", error)

    def results(
        self, poses: Sequence[Poses], spec: InputSpec, *, nms: bool | None = None
    ) -> list[Record]:
        """COCO result records of the poses of all images.

        Args:
            poses: one entry per image, in the order of ``images``.
            spec: how the crops were made; the areas for OKS-NMS are theirs.
            nms: whether duplicates go by OKS-NMS; None for the custom (``self.nms``).
        """
        found: list[Record] = []
        for image, people in zip(self.images, poses, strict=True):
            chosen = self.nms if nms is None else nms
            areas = regions(people.boxes, spec).sizes.prod(axis=1) if chosen else None
            found += coco_results(image.image_id, people, areas=areas)
        return found

    def metrics(
        self, poses: Sequence[Poses], spec: InputSpec, *, nms: bool | None = None
    ) -> dict[str, float]:
        """The ten numbers of the poses; the arguments are those of :meth:`results`."""
        ids = [image.image_id for image in self.images]
        results = self.results(poses, spec, nms=nms)
        return average_precision(self.content, results, ids, sigmas=self.keypoint_set.oks_sigmas)

    def resampled(
        self,
        poses: Sequence[Poses],
        spec: InputSpec,
        counts: NDArray[np.int64],
        *,
        nms: bool | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """The ten numbers (B,) of the poses with each image taken ``counts`` (B, images) times."""
        ids = [image.image_id for image in self.images]
        results = self.results(poses, spec, nms=nms)
        return resampled_precision(
            self.content, results, ids, counts=counts, sigmas=self.keypoint_set.oks_sigmas
        )


def _image_people(
    record: Record, path: Path, rows: list[list[float]], source: str, clip: bool
) -> ImagePeople:
    try:
        boxes, scores = check_boxes(rows)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {error}") from None
    width, height = record.get("width"), record.get("height")
    size = None if width is None or height is None else (width, height)
    if clip:
        if size is None:
            raise ValueError(f"{source}: clipping boxes needs the image's width and height")
        boxes = clip_box(boxes, *size)
        kept = (boxes[:, 2:] > 0).all(axis=1)
        boxes, scores = boxes[kept], scores[kept]
    return ImagePeople(record["id"], path, boxes, scores, size)


def coco_results(
    image_id: int, poses: Poses, *, areas: NDArray[np.float64] | None = None
) -> list[Record]:
    """One image's poses as records of a COCO keypoint results file, rescored.

    Args:
        image_id: COCO's.
        poses: with box scores; the scores become those of
            :func:`~lpn_core.evaluation.person_scores`.
        areas: (N,) of the grown and padded boxes, for OKS-NMS; None keeps all poses.
    """
    records = poses.to_coco(image_id)
    if areas is None:
        return records
    scores = np.array([record["score"] for record in records])
    kept = oks_nms(poses.keypoints, scores, areas, sigmas=poses.keypoint_set.oks_sigmas)
    return [records[index] for index in kept]


def write_results(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Writes records as a COCO results file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(path, [json.dumps(list(records), allow_nan=False).encode(), b"\n"])
