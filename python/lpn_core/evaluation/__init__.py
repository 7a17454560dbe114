"""How good poses are: COCO keypoint AP, MPII's PCKh, and what leads to them.

COCO's metric is that of pycocotools: ``pip install "lpn-core[eval]"``.
"""

from lpn_core.evaluation.coco import (
    METRICS,
    CocoPeople,
    average_precision,
    coco_results,
    write_results,
)
from lpn_core.evaluation.images import ImagePeople, find_image
from lpn_core.evaluation.mpii import MpiiPeople, pckh
from lpn_core.evaluation.people import open_people
from lpn_core.evaluation.predict import DECODES, Network, decodes_of, evaluate, find_poses
from lpn_core.evaluation.suppression import oks, oks_nms
from lpn_core.rescoring import person_scores

__all__ = [
    "DECODES",
    "METRICS",
    "CocoPeople",
    "ImagePeople",
    "MpiiPeople",
    "Network",
    "average_precision",
    "coco_results",
    "decodes_of",
    "evaluate",
    "find_image",
    "find_poses",
    "oks",
    "oks_nms",
    "open_people",
    "pckh",
    "person_scores",
    "write_results",
]
