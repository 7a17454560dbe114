"""lpn convert: from checkpoints to model files, and what it refuses."""

from __future__ import annotations

import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core import Model, model_file
from lpn_core.convert import architectures, lpn_heatmaps, self_test_error
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.safetensors import StoredTensor
from networks import Network, random_state
from numpy.typing import NDArray
from reference_network import lpn

pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("PIL.Image")
from click.testing import CliRunner, Result
from lpn_core.cli import main
from lpn_core.convert.state_dict import read_state_dict


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def state() -> dict[str, NDArray[np.float32]]:
    # Weights of realistic size, so that the heatmaps neither vanish nor overflow.
    return lpn_state_dict(50, "gc")


@pytest.mark.parametrize("bf16", [False, True])
def test_convert_safetensors(
    bf16: bool, state: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    checkpoint, output = tmp_path / "state.safetensors", tmp_path / "my lpn.safetensors"
    stored = {f"module.{name}": StoredTensor.from_array(array) for name, array in state.items()}
    safetensors_file.write(checkpoint, stored, {})
    options = ["--bf16"] if bf16 else []
    result = _run(
        "convert", checkpoint, "--arch", "lpn50", "--channel-order", "bgr", "-o", output,
        "--input-size", "224x160", *options,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    made = model_file.read(output)
    assert made.name == "my lpn"
    assert made.input.channel_order == "bgr"
    assert (made.input.height, made.input.width) == (224, 160)
    assert made.decode == model_file.DecodeSpec()
    assert made.provenance.architecture == "lpn50"
    assert made.provenance.training_data is None
    assert made.provenance.source_sha256 is not None
    with Model(made) as model:
        assert self_test_error(model) == 0
    size = output.stat().st_size
    assert size < 6.3e6 if bf16 else size > 11e6
    assert _run("verify", output).exit_code == 0


def test_convert_torch(state: dict[str, NDArray[np.float32]], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    outputs = []
    for number, content in enumerate((tensors, {"state_dict": tensors, "epoch": 3})):
        checkpoint = tmp_path / f"{number}.pth"
        torch.save(content, checkpoint)
        outputs.append(tmp_path / f"{number}.safetensors")
        result = _run(
            "convert", checkpoint, "--arch", "lpn50", "--channel-order", "rgb", "-o", outputs[-1],
            "--decode", "argmax", "--flip-shift", 0, "--no-quarter-step", "--name", "x",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    first, second = map(model_file.read, outputs)
    assert first.decode == model_file.DecodeSpec(
        kind="argmax", beta=None, quarter_step=False, flip_shift=0
    )
    assert first.graph == second.graph
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name])


class _Malice:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("malice",)


_WORDS = {
    "text": "not a checkpoint of plain tensors",
    "malice": "mkdir; wanted a state dict. If it holds a whole model, load it where it was made "
    "and save only its state_dict: torch.save(model.state_dict(), path)",
    "whole": "not a checkpoint of plain tensors: it holds a torch.nn.modules.conv.Conv2d; wanted",
    "pickle": "not a checkpoint of plain tensors; wanted a state dict",
    "list": "holds a list; wanted a state dict",
    "nested": "under the key 'state_dict'; it holds model, epoch",
    "training": "which lpn-training turns into a model file: lpn-train export",
    "empty": "it holds nothing",
}


def _checkpoints(folder: Path, tiny_path: Path) -> dict[str, tuple[Path, str]]:
    torch = pytest.importorskip("torch")
    paths = {name: folder / f"{name}.pth" for name in _WORDS}
    paths["text"].write_text("hello")
    torch.save(_Malice(), paths["malice"])
    torch.save(torch.nn.Conv2d(1, 1, 1), paths["whole"])
    paths["pickle"].write_bytes(pickle.dumps({"a": 1}, protocol=4))
    torch.save([torch.zeros(1)], paths["list"])
    torch.save({"model": {"x": torch.zeros(1)}, "epoch": 3}, paths["nested"])
    training = {"model": {"x": torch.zeros(1)}, "config": {"model": {"depth": 50}}, "step": 3}
    torch.save(training, paths["training"])
    torch.save({}, paths["empty"])
    damaged = folder / "damaged.safetensors"
    damaged.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    other = folder / "other.safetensors"
    safetensors_file.write(other, {"x": StoredTensor.from_array(np.zeros(3, np.float32))}, {})
    result = {name: (path, _WORDS[name]) for name, path in paths.items()}
    result["damaged"] = (damaged, "header length at byte 0 is 16")
    result["other"] = (other, "not a state dict of lpn50")
    model = folder / "model.safetensors"
    model.write_bytes(tiny_path.read_bytes())
    result["model"] = (model, f"a model file already, which needs no conversion: `lpn info {model}")
    return result


def test_bad_checkpoints(tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cases = _checkpoints(tmp_path, tiny_path)
    before = sorted(tmp_path.iterdir())
    for path, words in cases.values():
        result = _run(
            "convert", path, "--arch", "lpn50", "--channel-order", "rgb", "-o", "out.safetensors"
        )
        assert result.exit_code == 1
        assert words in result.stderr
        assert result.stderr.startswith(f"Error: {path}: ")
        assert "weights_only" not in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def _write_state(path: Path, state: dict[str, NDArray[np.float32]]) -> None:
    stored = {name: StoredTensor.from_array(array) for name, array in state.items()}
    safetensors_file.write(path, stored, {})


@pytest.mark.parametrize(("given", "arch"), [(101, "lpn50"), (50, "lpn152")])
def test_another_depth_is_named(given: int, arch: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.safetensors"
    _write_state(checkpoint, lpn_state_dict(given, "gc"))
    result = _run(
        "convert", checkpoint, "--arch", arch, "--channel-order", "bgr", "-o", tmp_path / "b"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {checkpoint}: this is not a state dict of {arch} ")
    assert re.search(r"\d+ (missing|left over): (\S+, ){4}\S+ and \d+ more", result.stderr)
    assert result.stderr.endswith(f". Its blocks are those of lpn{given}\n")
    assert len(result.stderr) < 1000


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (
            16,
            "makes 16 heatmaps, but the keypoint set coco17 has 17 joints; wanted --keypoints mpii",
        ),
        (14, "wanted --keypoints crowdpose14"),
        (5, "wanted one of the sets coco17 (17), mpii16 (16)"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_another_number_of_joints_is_named(
    joints: int, words: str, prefix: str, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "a.safetensors"
    final = lpn_state_dict(50, "none", joints=joints)["final_layer.weight"]
    _write_state(checkpoint, {f"{prefix}final_layer.weight": final})
    result = _run(
        "convert", checkpoint, "--arch", "lpn50", "--channel-order", "bgr", "-o", tmp_path / "b"
    )
    assert result.exit_code == 1
    assert words in result.stderr
    assert str(checkpoint) in result.stderr


def test_torch_files_that_are_damaged_or_odd(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(3, 3).to_sparse()}, path)
    with pytest.raises(ValueError, match="a tensor that NumPy cannot hold"):
        read_state_dict(path)
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    sound = path.read_bytes()
    for size in range(0, len(sound), 7):
        path.write_bytes(sound[:size])
        with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
            read_state_dict(path)


def test_a_folder_that_is_not_there_is_named(
    state: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    path = tmp_path / "none" / "a.safetensors"
    with pytest.raises(FileNotFoundError, match=r"none/a\.safetensors'$"):
        safetensors_file.write(path, {"a": StoredTensor.from_array(state["conv1.weight"])}, {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arch", "lpn50"], "channel-order"),
        (["--channel-order", "rgb"], "arch"),
        (["--arch", "lpn51", "--channel-order", "rgb"], "'lpn51' is not one of 'lpn50'"),
        (["--arch", "lpn50", "--channel-order", "rbg"], "'rbg' is not one of 'rgb', 'bgr'"),
        (
            ["--arch", "lpn50", "--channel-order", "rgb", "--input-size", "256"],
            "wanted HEIGHTxWIDTH, such as 256x192",
        ),
        (
            ["--arch", "lpn50", "--channel-order", "rgb", "--decode", "argmax", "--beta", "5"],
            "--beta is for --decode soft_argmax, but --decode is argmax",
        ),
        (["--arch", "lpn50", "--channel-order", "rgb", "--beta", "0"], "beta is 0"),
        (["--arch", "lpn50", "--channel-order", "rgb", "-o", "absent/a"], "no folder absent"),
    ],
)
def test_convert_usage(options: list[str], words: str, tiny_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    result = _run("convert", tiny_path, "-o", output, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not output.exists()


def test_help_says_the_channel_order_of_official_checkpoints() -> None:
    words = " ".join(_run("convert", "--help").stdout.split())
    assert "LPN's take bgr on COCO and rgb on MPII, SimpleBaseline's bgr, HRNet's rgb." in words


def test_the_checkpoint_is_not_overwritten(tiny_path: Path, tmp_path: Path) -> None:
    checkpoint, link = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    checkpoint.write_bytes(tiny_path.read_bytes())
    link.symlink_to(checkpoint)
    for output in (checkpoint, tmp_path / "." / "a.safetensors", link):
        result = _run(
            "convert", checkpoint, "--arch", "lpn50", "--channel-order", "rgb", "-o", output
        )
        assert result.exit_code == 2
        assert "is the checkpoint itself" in " ".join(result.stderr.split())
    assert checkpoint.read_bytes() == tiny_path.read_bytes()


@pytest.mark.parametrize("attention", ["gc", "se", "none"])
def test_the_pytorch_reference_is_the_network(attention: str) -> None:
    """Held to the NumPy one, which shares nothing with it: both in float64."""
    pytest.importorskip("torch")
    state = random_state(Network(50, attention, "default"))
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3))
    expected = lpn(state, images, 50, attention)
    found = lpn_heatmaps({f"module.{name}": array for name, array in state.items()}, images)
    # Some 50 layers of sums of up to 512 terms.
    assert np.abs(found - expected).max() <= 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_converted_models_are_held_to_pytorch(
    order: str, state: dict[str, NDArray[np.float32]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch = pytest.importorskip("torch")
    checkpoint, output = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    _write_state(checkpoint, state)
    usual = ("convert", checkpoint, "--arch", "lpn50", "--channel-order", order, "-o", output,
             "--input-size", "128x96")  # fmt: skip
    result = _run(*usual)
    assert result.exit_code == 0, result.output
    notes = model_file.read(output).provenance.notes
    assert notes is not None
    words = re.fullmatch(
        rf"On the crops of the self-test its heatmaps are those of PyTorch "
        rf"{re.escape(torch.__version__)} to (\S+) of their largest value\.",
        notes,
    )
    assert words is not None
    assert 0 < float(words[1]) < 1e-4
    output.unlink()
    # A builder that mixed up two layers.
    real = architectures.build

    def wrong(name: str, state_dict: dict[str, Any]) -> Any:
        other = {"layer1.1.conv1.weight": state_dict["layer1.1.conv3.weight"]}
        return real(name, {**state_dict, **other})

    with monkeypatch.context() as patch:
        patch.setattr(architectures, "build", wrong)
        result = _run(*usual)
    assert result.exit_code == 1
    assert "heatmaps differ from PyTorch's by" in result.stderr
    assert not output.exists()
    monkeypatch.setitem(sys.modules, "torch", None)
    result = _run(*usual)
    assert result.exit_code == 0, result.output
    notes = model_file.read(output).provenance.notes
    assert notes is not None
    assert notes.startswith("Not compared with PyTorch, which was not installed")
