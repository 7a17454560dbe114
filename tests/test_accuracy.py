"""Accuracy from pictures to AP: ours and PyTorch's, against a float64 pipeline that shares nothing.

The pictures are the drawn ones of figures.py; no other data is needed.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import lpn_core
import numpy as np
import pytest
import reference
from figures_network import HEIGHT, PAIRS, WIDTH, Figures
from lpn_core import _core, evaluation
from lpn_core.evaluation import CocoPeople

for _module in ("click", "tqdm", "PIL", "pycocotools"):
    pytest.importorskip(_module)
from click.testing import CliRunner  # noqa: E402

# COCO's, as pycocotools has them.
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
DECODES: dict[str, dict[str, Any]] = {
    "argmax": {"kind": "argmax", "quarter": False},
    "argmax-quarter": {"kind": "argmax"},
    "beta": {"quarter": False},
    "beta-quarter": {},
}


def _expected(figures: Figures, **how: Any) -> dict[str, float]:
    """The reference's numbers, of which none hangs on the last digits of an OKS."""
    joints, scores = figures.find(**how)
    for person, points in zip(figures.people, joints, strict=True):
        truth = np.reshape(person["keypoints"], (17, 3))
        value = reference.oks(points, truth[:, :2], truth[:, 2], person["area"], SIGMAS)
        distance = np.abs(value - np.arange(0.5, 1, 0.05)).min()
        assert distance > 1e-4, "draw other figures: this one's OKS is at a threshold"
    return dict(
        zip(evaluation.METRICS, figures.statistics(figures.results(joints, scores)), strict=True)
    )


def _usual(figures: Figures) -> list[str]:
    folder = figures.annotations.parent
    return ["--annotations", str(figures.annotations), "--images", str(folder), "--json"]


def test_the_figures_are_worth_measuring(figures: Figures) -> None:
    """The reference finds most joints, and every choice of the evaluation shows in its AP."""
    found = {
        **{name: _expected(figures, **how)["AP"] for name, how in DECODES.items()},
        **{shift: _expected(figures, flip=True, shift=shift)["AP"] for shift in (0, 1, 2)},
    }
    assert 0.6 < found["beta-quarter"] < 0.95
    assert found[1] > max(found[0], found[2]) + 0.03
    values = sorted(found.values())
    assert min(b - a for a, b in itertools.pairwise(values)) > 1e-3, found
    everything = _expected(figures)
    assert everything["AP-M"] > 0
    assert everything["AP-L"] > 0


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("flip", [False, True])
def test_engine_finds_the_joints_of_the_reference(
    figures: Figures, figures_model: Path, flip: bool, isa: str
) -> None:
    maps = figures.heatmaps
    if flip:
        maps = reference.flip_average(maps, figures.mirrored, PAIRS, 1)
    joints, scores = figures.find(flip=flip)
    places, _ = reference.soft_argmax(maps, 160)
    # Where a quarter step or a score hangs on float32's last digits there is nothing to hold to.
    clear = ~reference.ambiguous(maps, places, peak=False)
    assert clear.mean() > 0.98
    people = CocoPeople(figures.annotations, figures.annotations.parent)
    found, counts = [], []
    with lpn_core.load(figures_model, threads=2, isa=isa) as estimate:
        for image in people.images:
            poses = estimate(image.path, image.boxes, flip=flip)
            found.append(poses.keypoints)
            counts.append(poses.raw_scores)
    # In heatmap pixels, as the boxes are of many sizes.
    error = np.abs(np.concatenate(found) - joints).max(axis=-1)
    error /= figures.sizes[:, :1] / (WIDTH // 4)
    assert error[clear].max() <= 1e-3
    assert np.abs(np.concatenate(counts) - scores)[clear].max() <= 1e-5


@pytest.mark.parametrize("flip", [False, True])
def test_lpn_eval_says_what_the_reference_says(
    figures: Figures, figures_model: Path, flip: bool
) -> None:
    from lpn_core.cli import main

    decodes = [word for name in DECODES for word in ("--decode", name)]
    command = ["eval", str(figures_model), *_usual(figures), *decodes, *["--flip"] * flip]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["metrics"]
    assert found.keys() == DECODES.keys()
    for name, how in DECODES.items():
        assert found[name] == pytest.approx(_expected(figures, flip=flip, **how), abs=1e-6), name


@pytest.mark.parametrize("shift", [0, 2])
def test_the_flip_shift_reaches_the_metric(
    figures: Figures, figures_model: Path, shift: int
) -> None:
    from lpn_core.cli import main

    command = ["eval", str(figures_model), *_usual(figures), "--flip", "--flip-shift", str(shift)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["metrics"]["model"]
    assert found == pytest.approx(_expected(figures, flip=True, shift=shift), abs=1e-6)


@pytest.fixture(scope="module")
def checkpoint(figures: Figures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as ``lpn-train`` keeps it."""
    torch = pytest.importorskip("torch")
    from lpn_training.checkpoint import write_whole
    from lpn_training.config import config_from_dict

    config = config_from_dict({"model": {"height": HEIGHT, "width": WIDTH}})
    state = {key: torch.from_numpy(array) for key, array in figures.state.items()}
    path = tmp_path_factory.mktemp("checkpoints") / "figures.pt"
    write_whole(path, {"model": state, "config": config.to_dict(), "step": 0})
    return path


@pytest.mark.parametrize("engine", ["torch", "core"])
@pytest.mark.parametrize("flip", [False, True])
def test_lpn_train_eval_says_what_the_reference_says(
    figures: Figures, checkpoint: Path, engine: str, flip: bool
) -> None:
    from lpn_training.cli import main

    options = ["--engine", engine, *["--flip"] * flip]
    result = CliRunner().invoke(main, ["eval", str(checkpoint), *_usual(figures), *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["metrics"]
    assert found.keys() == DECODES.keys()
    for name, how in DECODES.items():
        assert found[name] == pytest.approx(_expected(figures, flip=flip, **how), abs=1e-6), name


def test_an_exported_checkpoint_keeps_its_ap(
    figures: Figures, checkpoint: Path, tmp_path: Path
) -> None:
    from lpn_core.cli import main as lpn
    from lpn_training.cli import main as train

    model = tmp_path / "m.safetensors"
    result = CliRunner().invoke(train, ["export", str(checkpoint), "-o", str(model), "--name", "f"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(lpn, ["eval", str(model), *_usual(figures)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["metrics"]["model"]
    assert found == pytest.approx(_expected(figures), abs=1e-6)
