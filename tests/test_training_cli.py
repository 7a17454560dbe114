"""The verbs of ``lpn-train`` where files cannot be read or written: one line, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for _module in ("click", "cv2", "matplotlib", "PIL", "tqdm"):
    pytest.importorskip(_module)

from click.testing import CliRunner, Result  # noqa: E402
from helpers import stopped_at_import  # noqa: E402
from lpn_training.checkpoint import write_whole  # noqa: E402
from lpn_training.cli import main  # noqa: E402
from lpn_training.config import load_config  # noqa: E402
from lpn_training.models.build import build_model  # noqa: E402
from training_data import make_coco  # noqa: E402
from training_runs import (  # noqa: E402
    CONFIGS,
    file_limit,
    one_thread,
    synthetic_shard,
    tiny_overrides,
)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def assert_one_line(result: Result, *parts: object) -> None:
    """A failure that is told in one line with these parts."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    for part in parts:
        assert str(part) in line


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    config = load_config(CONFIGS / "tiny.toml", ("model.height=64", "model.width=48"))
    content = {"model": build_model(config).state_dict(), "config": config.to_dict(), "step": 1}
    write_whole(tmp_path / "c.pt", content)
    return tmp_path / "c.pt"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file where a folder is wanted."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


def test_fit_on_a_full_disk(tmp_path: Path) -> None:
    shard = synthetic_shard(tmp_path, "noise")
    options = [w for o in tiny_overrides(shard, validate=False) for w in ("--set", o)]
    output = tmp_path / "run"
    with one_thread(), file_limit(400 * 1024):
        result = run("fit", CONFIGS / "tiny.toml", "-o", output, *options)
    assert_one_line(result, "File too large", output / "last.pt")
    assert not list(output.glob(".*"))


def test_fit_into_a_file(tmp_path: Path, file: Path) -> None:
    shard = synthetic_shard(tmp_path, "noise")
    options = [w for o in tiny_overrides(shard, validate=False) for w in ("--set", o)]
    assert_one_line(run("fit", CONFIGS / "tiny.toml", "-o", file / "run", *options), file / "run")


def test_export_on_a_full_disk(tmp_path: Path, checkpoint: Path) -> None:
    output = tmp_path / "m.safetensors"
    with file_limit(400 * 1024):
        result = run("export", checkpoint, "-o", output, "--name", "small")
    assert_one_line(result, "File too large", output)
    assert {item.name for item in tmp_path.iterdir()} == {"c.pt"}


def test_export_into_a_file(checkpoint: Path, file: Path) -> None:
    output = file / "folder" / "m.safetensors"
    assert_one_line(run("export", checkpoint, "-o", output, "--name", "small"), output)
    output = file.with_name("m.safetensors")
    result = run("export", checkpoint, "-o", output, "--name", "small", "--card", file / "card.md")
    assert_one_line(result, file / "card.md")


def test_pack_into_a_file_and_on_a_full_disk(tmp_path: Path, file: Path) -> None:
    annotations, images = make_coco(tmp_path / "coco", 1)
    usual = ("pack", "--annotations", annotations, "--images", images, "--workers", 0)
    assert_one_line(run(*usual, "-o", file / "shards"), file / "shards")
    output = tmp_path / "shards"
    with file_limit(1024):
        result = run(*usual, "-o", output)
    assert_one_line(result, "File too large", output)


def test_pictures_into_no_folder(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "stage": 0, "lr": 0.1}) + "\n")
    picture = tmp_path / "none" / "p.png"
    assert_one_line(run("plot", tmp_path, "-o", picture), "No such file", picture)
    with file_limit(1024):
        result = run("plot", tmp_path, "-o", tmp_path / "p.png")
    assert_one_line(result, "File too large", tmp_path / "p.png")
    # Before the work, not after it.
    result = run("compare", checkpoint, checkpoint, "--shards", checkpoint, "--plot", picture)
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_what_is_gone_is_said_in_one_line(tmp_path: Path, checkpoint: Path) -> None:
    shards = tmp_path / "gone.tar"
    shards.symlink_to(tmp_path / "nowhere")
    result = run("compare", checkpoint, checkpoint, "--shards", tmp_path)
    assert_one_line(result, "gone.tar")
    (tmp_path / "stages.json").mkdir()
    assert_one_line(run("stages", tmp_path), "Is a directory", "stages.json")


@pytest.mark.parametrize("verb", ["eval", "export", "compare", "fit"])
def test_a_folder_is_no_checkpoint(tmp_path: Path, verb: str) -> None:
    output = ["-o", tmp_path / "out"] if verb in ("fit", "export") else []
    result = run(verb, tmp_path, tmp_path, *output)
    assert result.exit_code == 2
    assert "is a directory" in result.stderr


def test_fit_needs_lpn_core_and_torch_only() -> None:
    code = "import sys, lpn_training.cli, lpn_training.train; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "lpn_core.keypoints" in loaded
    others = {"cv2", "matplotlib", "onnx", "onnxruntime", "pycocotools", "scipy", "tensorboard"}
    assert not others & {name.partition(".")[0] for name in loaded}


@pytest.mark.parametrize("module", ["lpn_training.cli", "click"])
def test_ctrl_c_while_starting(module: str) -> None:
    done = stopped_at_import("training/pyproject.toml", "lpn-train", module)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "lpn-train: stopped\n"
