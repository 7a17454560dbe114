"""Exports of every attention, size and keypoint set; what is wrong is not written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from click.testing import CliRunner  # noqa: E402
from lpn_core import Model, model_file  # noqa: E402
from lpn_core.model import spec as model_spec  # noqa: E402
from lpn_core.model.spec import DecodeSpec  # noqa: E402
from lpn_training import export  # noqa: E402
from lpn_training.checkpoint import load_checkpoint, write_whole  # noqa: E402
from lpn_training.cli import main  # noqa: E402
from lpn_training.cli.export import DECODE_KINDS  # noqa: E402
from lpn_training.config import Config, load_config  # noqa: E402
from lpn_training.evaluate import open_candidate  # noqa: E402
from lpn_training.models.build import build_model  # noqa: E402
from training_runs import CONFIGS  # noqa: E402


def lively_network(config: Config) -> torch.nn.Module:
    """Random weights whose every layer counts, in evaluation mode."""
    torch.manual_seed(0)
    network = build_model(config).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.nn.init.normal_(network.final_layer.weight, std=0.1)
    return network


def checkpoint(path: Path, *overrides: str) -> tuple[torch.nn.Module, Config]:
    size = ("model.height=64", "model.width=48")
    config = load_config(CONFIGS / "tiny.toml", (*size, *overrides))
    network = lively_network(config)
    content: dict[str, Any] = {"model": network.state_dict(), "config": config.to_dict()}
    write_whole(path, {**content, "step": 100})
    return network, config


@pytest.mark.parametrize(
    ("attention", "joints", "keypoints"),
    [("gc", 17, "coco17"), ("se", 16, "mpii16"), ("none", 14, "crowdpose14")],
)
def test_export_equals_the_network(
    tmp_path: Path, attention: str, joints: int, keypoints: str
) -> None:
    network, _ = checkpoint(
        tmp_path / "c.pt", f"model.attention={attention}", f"model.keypoints={keypoints}"
    )
    path, card = tmp_path / "new" / "m.safetensors", tmp_path / "new" / "card.md"
    metric, option = ("PCKh@0.5", "pckh") if joints == 16 else ("AP", "ap")
    export.export_checkpoint(
        tmp_path / "c.pt", path, name="small", notes="For tests.", card=card, **{option: 0.25}
    )
    assert {item.name for item in path.parent.iterdir()} == {"m.safetensors", "card.md"}
    crops = np.random.default_rng(0).normal(size=(2, 64, 48, 3)).astype(np.float32)
    with Model(model_file.read(path), threads=1) as model:
        found = model(crops)
        assert model.keypoint_set.name == keypoints
        origin = model.file.provenance
    assert origin.ap == (None if joints == 16 else 0.25)
    more = " PCKh@0.5 without flip test: 0.250." if joints == 16 else ""
    assert origin.notes == f"For tests.{more}"
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() <= 5e-6 * np.abs(expected).max()
    text = card.read_text()
    assert text.startswith(f"# Model card: `small`\n\nFor tests.{more}\n")
    assert f"| architecture | lpn50, attention {attention} |" in text
    assert f"| {metric} without flip test | 0.250 |" in text
    assert f"| {metric} with flip test | not stated |" in text
    assert ("| AP with" in text) == (joints != 16)
    later = "2 stage(s) of 4 epochs, all but the first from epoch 1 on |"
    assert f"| schedule | milestones, {later}" in text
    assert "| samples seen in the last run | 400 |" in text


def test_wrong_heatmaps_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that mixed up two layers would be noticed before the file is there."""
    checkpoint(tmp_path / "c.pt")
    real = export.make_model_file

    def wrong(name: str, architecture: str, state: dict[str, Any], **options: Any) -> Any:
        state = dict(state)
        state["layer1.1.conv1.weight"] = state["layer1.1.conv3.weight"]
        return real(name, architecture, state, **options)

    monkeypatch.setattr(export, "make_model_file", wrong)
    path = tmp_path / "m.safetensors"
    path.write_text("what was there")
    with pytest.raises(ValueError, match="heatmaps differ from PyTorch's"):
        export.export_checkpoint(tmp_path / "c.pt", path, name="small")
    assert path.read_text() == "what was there"
    assert {item.name for item in tmp_path.iterdir()} == {"c.pt", "m.safetensors"}


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c.pt")
    content = load_checkpoint(tmp_path / "c.pt")
    write_whole(tmp_path / "c.pt", {**content, "config": {"model": {"num_joints": 5}}})
    arguments = ["export", str(tmp_path / "c.pt"), "-o", str(tmp_path / "m"), "--name", "small"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "predicts 5 joints; keypoint sets have [14, 16, 17]" in result.output
    with pytest.raises(ValueError, match=r"predicts 5 joints; keypoint sets have"):
        open_candidate(tmp_path / "c.pt")


def test_decode_is_as_asked(tmp_path: Path) -> None:
    assert DECODE_KINDS == model_spec.DECODE_KINDS
    checkpoint(tmp_path / "c.pt")
    usual = ["export", str(tmp_path / "c.pt"), "-o", str(tmp_path / "m"), "--name", "small"]
    for options, expected in (
        ((), DecodeSpec()),
        (("--beta", "40", "--no-quarter-step"), DecodeSpec(beta=40.0, quarter_step=False)),
        (
            ("--decode", "argmax", "--flip-shift", "0"),
            DecodeSpec(kind="argmax", beta=None, flip_shift=0),
        ),
    ):
        result = CliRunner().invoke(main, [*usual, *options])
        assert result.exit_code == 0, result.output
        assert model_file.read(tmp_path / "m").decode == expected
    for options, words in (
        (("--decode", "argmax", "--beta", "40"), "--beta is for --decode soft_argmax"),
        (("--beta", "0"), "beta is 0.0; wanted a number from 1e-06"),
        (("--flip-shift", "12"), "flip_shift is 12"),
        (("--flip-shift", "-1"), "--flip-shift"),
        (("--pckh", "0.5"), "a model with coco17 joints is measured by ap"),
        (("--ap", "44.1"), "--ap"),
    ):
        result = CliRunner().invoke(main, [*usual, *options])
        assert result.exit_code == 2, result.output
        assert words in " ".join(result.output.split())


def test_an_mpii_model_has_no_ap(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c.pt", "model.keypoints=mpii16")
    with pytest.raises(ValueError, match="a model with mpii16 joints is measured by pckh"):
        export.export_checkpoint(tmp_path / "c.pt", tmp_path / "m", name="small", ap=0.5)
