"""From other files to model files."""

from lpn_core.convert.checkpoint import make_model_file
from lpn_core.convert.self_test import (
    SELF_TEST_TOLERANCE,
    SELF_TEST_TOLERANCES,
    self_test_error,
    self_test_keypoints,
    synthetic_crops,
)
from lpn_core.convert.torch_reference import check_heatmaps, held_to_torch, lpn_heatmaps

__all__ = [
    "SELF_TEST_TOLERANCE",
    "SELF_TEST_TOLERANCES",
    "check_heatmaps",
    "held_to_torch",
    "lpn_heatmaps",
    "make_model_file",
    "self_test_error",
    "self_test_keypoints",
    "synthetic_crops",
]
