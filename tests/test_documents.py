"""What the documents show is run: Python blocks, commands, and the form of their results."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from figures import write_figures
from helpers import lpn_state_dict

for _module in ("click", "tqdm", "PIL"):
    pytest.importorskip(_module)
import click  # noqa: E402
import lpn_core  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from lpn_core.cli import main as lpn  # noqa: E402
from lpn_core.quantization.judge import Speed  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "grace_hopper.jpg"
DOCUMENTS = sorted(
    path
    for pattern in (
        *("*.md", "docs/*.md", "training/*.md", "bench/*.md", "examples/*.md"),
        "python/lpn_core/weights/*.md",
    )
    for path in ROOT.glob(pattern)
)

pytestmark = pytest.mark.skipif(
    not lpn_core.bundled_models(), reason="this build carries no weights"
)


def _blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language, in order; "" is none."""
    # Fences open and close by turns: odd parts are blocks, their first line the language.
    parts = re.split(r"^```", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = [part.split("\n", 1) for part in parts[1::2]]
    return [text for name, text in blocks if name == language]


def _commands(path: Path) -> list[list[str]]:
    """The words of every ``lpn`` and ``lpn-train`` command in the shell blocks of a document."""
    commands = []
    for block in _blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s+&&\s+", line.split("  #")[0]):
                words = shlex.split(part, comments=True)
                if words and words[0] in ("lpn", "lpn-train"):
                    commands.append(words)
    return commands


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _film(photo: Path) -> ModuleType:
    """A stand-in for PyAV: every film shows the photo twice."""
    pixels = _pixels(photo)

    def to_ndarray(*, format: str) -> np.ndarray:  # noqa: A002
        assert format == "rgb24"
        return pixels

    frames = [SimpleNamespace(to_ndarray=to_ndarray)] * 2
    module = ModuleType("av")
    opened = SimpleNamespace(decode=lambda video: frames if video == 0 else [])
    module.open = {"clip.mp4": opened}.__getitem__  # type: ignore[attr-defined]
    return module


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    documents = [path for path in DOCUMENTS if _blocks(path, "python")]
    assert ROOT / "README.md" in documents
    for path in documents:
        folder = tmp_path / path.relative_to(ROOT).as_posix().replace("/", "-")
        folder.mkdir()
        photo = Path(shutil.copy(EXAMPLE, folder / "photo.jpg"))
        monkeypatch.chdir(folder)
        monkeypatch.setitem(sys.modules, "av", _film(photo))
        # Blocks of one document follow one another, as their readers do.
        names: dict[str, Any] = {}
        for block in _blocks(path, "python"):
            exec(compile(block, str(path), "exec"), names)
        if path.name == "README.md" and path.parent == ROOT:
            assert names["people"].keypoints.shape == (1, 17, 2)
            assert names["people"].scores.shape == (1, 17)
            assert _pixels(folder / "out.png").shape == _pixels(photo).shape


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(item) for item in value.values()))
    return set().union(*(_keys(item) for item in value)) if isinstance(value, list) else set()


def test_predictions_have_the_form_that_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "examples")
    command = _commands(ROOT / "README.md")[0]
    assert command[:2] == ["lpn", "predict"]
    result = CliRunner().invoke(lpn, command[1:])
    assert result.exit_code == 0, result.output
    found = _keys(json.loads((tmp_path / "out" / "predictions.json").read_text()))
    (shown,) = (block for block in _blocks(ROOT / "README.md", "") if block.startswith("{"))
    named = set(re.findall(r'"(\w+)"', shown))
    # Nothing failed here; its entries name the file and what was wrong with it.
    assert found | {"failed", "file", "error"} == named


@pytest.mark.parametrize(
    "command", _commands(ROOT / "README.md")[1:], ids=lambda words: "-".join(words[:2])
)
def test_readme_commands_run(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verb = command[1]
    if verb == "predict":
        (tmp_path / "photos").mkdir()
        shutil.copy(EXAMPLE, tmp_path / "photos")
        (tmp_path / "detections.json").write_text(json.dumps({EXAMPLE.name: [[90, 10, 300, 500]]}))
    elif verb == "convert":
        torch = pytest.importorskip("torch")
        state = {key: torch.from_numpy(array) for key, array in lpn_state_dict(50, "gc").items()}
        torch.save(state, tmp_path / command[2])
    elif verb == "eval":
        pytest.importorskip("pycocotools")
        write_figures(tmp_path / "val2017").rename(tmp_path / "person_keypoints_val2017.json")
    elif verb == "quantize":
        (tmp_path / "photos").mkdir()
        shutil.copy(EXAMPLE, tmp_path / "photos")
        boxes = [[80 + i, 10, 300, 500] for i in range(32)]
        (tmp_path / "boxes.json").write_text(json.dumps({EXAMPLE.name: boxes}))
        # Whether int8 is the faster is the machine's affair.
        monkeypatch.setattr(
            sys.modules["lpn_core.cli.quantize"], "measure", lambda *_: Speed(2e-3, 1e-3)
        )
    few = {
        "profile": ["--rounds", "1"],
        "bench": ["--batch", "1", "--rounds", "1"],
        "quantize": ["--crops", "32"],
    }
    result = CliRunner().invoke(lpn, [*command[1:], *few.get(verb, [])])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if _commands(path)], ids=lambda path: str(path.stem)
)
def test_commands_take_the_options_that_documents_show(path: Path) -> None:
    groups: dict[str, click.Command] = {"lpn": lpn}
    if any(words[0] == "lpn-train" for words in _commands(path)):
        pytest.importorskip("torch")
        from lpn_training.cli import main as train

        groups["lpn-train"] = train
    offenders = []
    for program, verb, *words in _commands(path):
        group = groups[program]
        assert isinstance(group, click.Group)
        if verb not in group.commands:
            offenders.append(f"{program} {verb}")
            continue
        known = {name for option in group.commands[verb].params for name in option.opts}
        known |= {name for option in group.commands[verb].params for name in option.secondary_opts}
        given = [word.strip("[]").split("=")[0] for word in words if word.startswith(("-", "[-"))]
        offenders += [f"{program} {verb} {name}" for name in given if name not in known]
    assert not offenders


def test_configurations_take_the_keys_that_documents_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from lpn_training.config import load_config

    monkeypatch.chdir(tmp_path)
    # Of `model.keypoints`, which `lpn-train pack` writes.
    (tmp_path / "shards" / "dogs").mkdir(parents=True)
    joints = {"name": "dog1", "names": ["nose"], "skeleton": [], "mirror_pairs": [], "sigmas": None}
    (tmp_path / "shards" / "dogs" / "dogs.keypoints.json").write_text(json.dumps(joints))

    seen = 0
    for path in DOCUMENTS:
        for words in _commands(path):
            if words[:2] != ["lpn-train", "fit"] or not words[2].endswith(".toml"):
                continue
            settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            load_config(ROOT / words[2], settings)
            seen += 1
    assert seen >= 5
