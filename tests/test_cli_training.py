"""lpn-train beside lpn: where one points to the other, and what it writes into a log."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for _module in ("click", "cv2", "PIL", "tqdm"):
    pytest.importorskip(_module)

from click.testing import CliRunner  # noqa: E402
from lpn_training.cli import main  # noqa: E402
from training_data import make_coco  # noqa: E402


def test_a_bare_state_dict_is_for_convert(tmp_path: Path) -> None:
    bare = tmp_path / "bare.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, bare)
    arguments = ["export", str(bare), "-o", str(tmp_path / "m.safetensors"), "--name", "small"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert f"{bare} is not a training checkpoint" in message
    assert f"lpn convert {bare} --arch" in message


def test_packing_draws_no_bar_into_a_log(tmp_path: Path) -> None:
    annotations, images = make_coco(tmp_path / "coco", persons=2)
    arguments = ["pack", "--annotations", annotations, "--images", images]
    arguments += ["--output", tmp_path / "shards", "--source", "coco", "--workers", 0]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
