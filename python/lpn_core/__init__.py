"""Human pose estimation on the CPU with the Lightweight Pose Network."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lpn_core import (
        architectures,
        evaluation,
        flip,
        keypoints,
        model_file,
        ops,
        preprocess,
    )
    from lpn_core._core import __version__, default_isa, default_threads, kernels, supported_isas
    from lpn_core.estimator import PoseEstimator, bundled_models, load
    from lpn_core.image.decode import argmax, soft_argmax
    from lpn_core.keypoints import COCO17, CROWDPOSE14, MPII16, KeypointSet
    from lpn_core.model.model import Model
    from lpn_core.model.spec import ModelFile, ModelFileError
    from lpn_core.poses import Pose, Poses
    from lpn_core.quantization.quantize import quantize

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
    "quantize",
    "soft_argmax",
    "supported_isas",
]

if not TYPE_CHECKING:  # where it would make every name look defined
    # Nothing is imported before it is used: the command must be able to catch a Ctrl-C meanwhile.
    _HOMES = {
        "_core": ("__version__", "default_isa", "default_threads", "kernels", "supported_isas"),
        "image.decode": ("argmax", "soft_argmax"),
        "estimator": ("PoseEstimator", "bundled_models", "load"),
        "keypoints": ("COCO17", "CROWDPOSE14", "MPII16", "KeypointSet"),
        "model.model": ("Model",),
        "model.spec": ("ModelFile", "ModelFileError"),
        "poses": ("Pose", "Poses"),
        "quantization.quantize": ("quantize",),
    }
    _HOME = {name: module for module, names in _HOMES.items() for name in names}

    def __getattr__(name):
        """Imports a public name on first use."""
        if name not in __all__:
            raise AttributeError(f"module 'lpn_core' has no attribute {name!r}")
        from importlib import import_module

        home = import_module(f"lpn_core.{_HOME.get(name, name)}")
        value = getattr(home, name) if name in _HOME else home
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
