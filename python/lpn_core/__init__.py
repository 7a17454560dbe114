"""Human pose estimation on the CPU with the Lightweight Pose Network."""

from typing import TYPE_CHECKING

from lpn_core import flip, keypoints, model_file, preprocess
from lpn_core._core import __version__, default_isa, default_threads, kernels, supported_isas
from lpn_core.decode import argmax, soft_argmax
from lpn_core.estimator import PoseEstimator, bundled_models, load
from lpn_core.keypoints import COCO17, CROWDPOSE14, MPII16, KeypointSet
from lpn_core.model import Model
from lpn_core.model_file import ModelFile, ModelFileError
from lpn_core.poses import Pose, Poses

if TYPE_CHECKING:
    from lpn_core import architectures, evaluation, ops

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
    "evaluation",
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

if not TYPE_CHECKING:  # where it would make every name look defined

    def __getattr__(name):
        """Imports on first use what finding poses does not need."""
        if name in ("architectures", "evaluation", "ops"):
            import importlib

            return importlib.import_module(f"lpn_core.{name}")
        raise AttributeError(f"module 'lpn_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
