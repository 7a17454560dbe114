"""How good poses are: COCO keypoint AP, MPII's PCKh, and what leads to them.

COCO's metric is that of pycocotools: ``pip install "lpn-core[eval]"``.
"""

from lpn_core.evaluation.average_precision import METRICS, average_precision, resampled_precision
from lpn_core.evaluation.bootstrap import LEVEL, intervals
from lpn_core.evaluation.coco import CocoPeople, coco_results, write_results
from lpn_core.evaluation.images import ImagePeople, find_image
from lpn_core.evaluation.mpii import MpiiPeople, pckh, published_bias
from lpn_core.evaluation.people import open_people
from lpn_core.evaluation.predict import DECODES, Network, decodes_of, evaluate, find_poses, score
from lpn_core.evaluation.suppression import oks, oks_nms
from lpn_core.image.decode import person_scores

__all__ = [
    "DECODES",
    "LEVEL",
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
    "intervals",
    "oks",
    "oks_nms",
    "open_people",
    "pckh",
    "person_scores",
    "published_bias",
    "resampled_precision",
    "score",
    "write_results",
]
