"""Human pose estimation on the CPU with the Lightweight Pose Network."""

from lpn_core import architectures, flip, keypoints, model_file, ops, preprocess
from lpn_core._core import __version__, default_isa, default_threads, kernels, supported_isas
from lpn_core.decode import argmax, soft_argmax
from lpn_core.estimator import PoseEstimator, bundled_models, load
from lpn_core.keypoints import COCO17, CROWDPOSE14, MPII16, KeypointSet
from lpn_core.model import Model
from lpn_core.model_file import ModelFile, ModelFileError
from lpn_core.poses import Pose, Poses

__all__ = [
    "COCO17",
    "CROWDPOSE14",
    "MPII16",
    "KeypointSet",
    "Model",
    "ModelFile",
    "ModelFileError",
    "Pose",
    "PoseEstimator",
    "Poses",
    "__version__",
    "architectures",
    "argmax",
    "bundled_models",
    "default_isa",
    "default_threads",
    "flip",
    "kernels",
    "keypoints",
    "load",
    "model_file",
    "ops",
    "preprocess",
    "soft_argmax",
    "supported_isas",
]
