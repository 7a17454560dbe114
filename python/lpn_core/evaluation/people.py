"""The data set that suits a model's joints."""

from __future__ import annotations

from pathlib import Path

from lpn_core.evaluation.average_precision import load_pycocotools
from lpn_core.evaluation.coco import CocoPeople
from lpn_core.evaluation.mpii import MpiiPeople
from lpn_core.keypoints import COCO17, MPII16, KeypointSet


def open_people(
    keypoint_set: KeypointSet,
    annotations: Path,
    images: Path,
    *,
    detections: Path | None = None,
    head_boxes: Path | None = None,
    limit: int = 0,
    clip: bool = False,
    bias: float | None = None,
) -> CocoPeople | MpiiPeople:
    """The people of an annotation file, of the data set whose joints are ``keypoint_set``.

    Args:
        keypoint_set: of the model.
        annotations: and all else: see :class:`~lpn_core.evaluation.CocoPeople` and
            :class:`~lpn_core.evaluation.MpiiPeople`.
        detections: not with MPII's joints.
        head_boxes: only with MPII's joints.
        clip: has no effect on MPII's people, who have no boxes.
        bias: only with MPII's joints; None for 0.

    Raises:
        ValueError: a file of another form or of other joints, or an option of the other data set.
        FileNotFoundError: an image is missing.
        ImportError: what their metric needs is not installed.
    """
    if keypoint_set.name == MPII16.name:
        if detections is not None:
            raise ValueError(
                f"{detections}: detections are for COCO's joints, the model has MPII's: its people "
                "are where the annotations say"
            )
        return MpiiPeople(annotations, images, head_boxes=head_boxes, limit=limit, bias=bias or 0.0)
    whose = "COCO's" if keypoint_set.name == COCO17.name else repr(keypoint_set.name)
    if head_boxes is not None:
        raise ValueError(f"{head_boxes}: head boxes are for MPII's joints, the model has {whose}")
    if bias is not None:
        raise ValueError(f"bias is {bias:g}: it is for MPII's joints, the model has {whose}")
    # Before the long run, not after it.
    load_pycocotools()
    return CocoPeople(
        annotations,
        images,
        detections=detections,
        limit=limit,
        clip=clip,
        keypoint_set=keypoint_set,
    )
