"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from figures_network import Figures
    from lpn_core import PoseEstimator
    from lpn_core.model_file import ModelFile
    from numpy.typing import NDArray

# Products of the references are small: on a busy machine BLAS's threads wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Imports are inside the fixtures: the training package's tests run without the compiled module.


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """PyTorch's global generator starts every test alike: a failure repeats by itself."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def tiny() -> ModelFile:
    from helpers import tiny_model_file

    return tiny_model_file()


@pytest.fixture(scope="session")
def tiny_path(tiny: ModelFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lpn_core import model_file

    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    model_file.write(path, tiny)
    return path


@pytest.fixture(scope="session")
def estimator(tiny: ModelFile) -> PoseEstimator:
    from lpn_core import Model, PoseEstimator

    return PoseEstimator(Model(tiny, threads=1))


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    from helpers import photograph

    return photograph()


@pytest.fixture(scope="session")
def photo_path(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path_factory.mktemp("images") / "photo.png"
    image.fromarray(photo).save(path)
    return path


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    for module in ("PIL", "pycocotools"):
        pytest.importorskip(module)
    from figures_network import make_figures

    return make_figures(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="session")
def figures_model(figures: Figures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from figures_network import HEIGHT, WIDTH
    from lpn_core import model_file
    from lpn_core.convert import make_model_file
    from lpn_core.model.spec import InputSpec

    spec = InputSpec(channel_order="rgb", height=HEIGHT, width=WIDTH)
    made = make_model_file("figures", "lpn50", figures.state, channel_order="rgb", input=spec)
    path = tmp_path_factory.mktemp("models") / "figures.safetensors"
    model_file.write(path, made)
    return path
