"""Sheets of what training sees and of what a network answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")

from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.convert import make_model_file  # noqa: E402
from lpn_core.model import file as model_file  # noqa: E402
from lpn_training.cli import main  # noqa: E402
from lpn_training.data.shards import Encoded, open_shard, write_shard  # noqa: E402
from lpn_training.look import open_batches  # noqa: E402
from lpn_training.train import fit  # noqa: E402
from lpn_training.validation import score_persons  # noqa: E402
from PIL import Image  # noqa: E402
from training_runs import (  # noqa: E402
    CONFIGS,
    one_thread,
    synthetic_shard,
    tiny_config,
    tiny_overrides,
)

# Views of 64 x 48 are drawn 256 high, with a line of text below.
SIZE = ("model.height=64", "model.width=48")
CELL = (192, 270)
PLAIN = ("augment.rotation_probability=0.0", "augment.scale_sigma=0.0",
         "augment.mirror_probability=0.0")  # fmt: skip
HELD_OUT = "data.held_out={ noise = 0.3 }"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 black crops of as many pictures, the first without any label, others with some."""
    folder = tmp_path_factory.mktemp("shards")
    path = synthetic_shard(folder, "noise", count=20)
    Image.new("RGB", (160, 200)).save(folder / "black.png")
    samples = []
    for index, sample in enumerate(open_shard(path)):
        points = np.array(sample.meta["keypoints"]).reshape(17, 3)
        points[index:] = 0
        meta = {
            **sample.meta,
            "image": f"{index:02d}.jpg",
            "keypoints": points.reshape(-1).tolist(),
        }
        samples.append(Encoded(f"{index:03d}", "png", (folder / "black.png").read_bytes(), meta))
    write_shard(path, samples)
    return path


@pytest.fixture(scope="module")
def checkpoint(shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with one_thread():
        fit(tiny_config(shard, *SIZE, validate=False), folder, max_seconds=1e-6)
    return folder / "last.pt"


def look(shard: Path, *arguments: object, sets: tuple[str, ...] = ()) -> Result:
    overrides = tiny_overrides(shard, *SIZE, *sets, validate=False)
    words = [word for override in overrides for word in ("--set", override)]
    command = ["look", str(CONFIGS / "tiny.toml"), *map(str, arguments), *words]
    return CliRunner().invoke(main, command)


def cells(path: Path) -> list[npt.NDArray[np.uint8]]:
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    rows, columns = pixels.shape[0] // CELL[1], pixels.shape[1] // CELL[0]
    assert pixels.shape == (rows * CELL[1], columns * CELL[0], 3)
    grid = pixels.reshape(rows, CELL[1], columns, CELL[0], 3).swapaxes(1, 2)
    return list(grid.reshape(-1, CELL[1], CELL[0], 3))


def test_views_are_those_of_the_first_steps(shard: Path, tmp_path: Path) -> None:
    sets = (*PLAIN, "train.accumulate=2")
    result = look(shard, "-o", tmp_path, "--count", 10, "--json", sets=sets)
    assert result.exit_code == 0, result.output
    views = json.loads(result.stdout)["views"]
    assert views["sheet"] == str(tmp_path / "views.png")
    batches = open_batches(tiny_config(shard, *SIZE, *sets, validate=False))
    found = cells(tmp_path / "views.png")
    assert len(found) == 16
    turns = [(step, turn) for step in (0, 1) for turn in (0, 1)]
    drawn = [(batches.draw(step, turn=turn), index) for step, turn in turns for index in range(4)]
    for number, (crop, (batch, index)) in enumerate(zip(views["crops"], drawn, strict=False)):
        labelled = batch.weights[index] > 0
        assert crop == {"picture": crop["picture"], "labelled": int(labelled.sum()), "taught": 0}
        # The black view shows where joints are drawn: each target's peak, and nothing far away.
        picture = found[number][:256].max(axis=2)
        targets = batch.targets[index][labelled].flatten(1).argmax(dim=1).tolist()
        for peak in targets:
            y, x = (int((4 * part + 0.5) * 4) for part in divmod(peak, 12))
            assert picture[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].max() > 60
        assert bool(picture.any()) == bool(targets)
    # Label i of picture i and later ones were taken: never more of them than the picture's number.
    assert all(0 < crop["labelled"] <= int(crop["picture"][:2]) for crop in views["crops"])
    assert not any(cell.any() for cell in found[10:])


def test_predictions_are_listed_and_drawn_worst_first(
    shard: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("-o", tmp_path, "--weights", checkpoint, "--count", 3)
    result = look(shard, *arguments, "--json", sets=(HELD_OUT,))
    assert result.exit_code == 0, result.output
    crops = json.loads(result.stdout)["predictions"]["crops"]
    batches = open_batches(tiny_config(shard, *SIZE, HELD_OUT, validate=False))
    held = batches.held_out_crops()
    expected = dict(zip(held.pictures, scores_of(checkpoint, shard, held), strict=True))
    assert {c["picture"]: pytest.approx(c["oks"], abs=1e-6) for c in crops} == expected
    assert [c["oks"] for c in crops] == sorted(c["oks"] for c in crops)
    found = cells(tmp_path / "predictions.png")
    assert len(found) == 3
    for cell, crop in zip(found, crops, strict=False):
        # White: the rings of labels, of which the view holds some at least.
        assert (cell[:256] == 255).all(axis=2).any()
        assert crop["picture"] != "00.jpg"
    lines = look(shard, *arguments, sets=(HELD_OUT,)).stdout.splitlines()
    assert lines == [f"{crop['oks']:.4f}  {crop['picture']}" for crop in crops]


def scores_of(checkpoint: Path, shard: Path, crops: Any) -> list[float]:
    from lpn_training.checkpoint import averaged_weights, load_checkpoint
    from lpn_training.models.build import build_model

    config = tiny_config(shard, *SIZE, validate=False)
    network = build_model(config)
    network.load_state_dict(averaged_weights(load_checkpoint(checkpoint)))
    return score_persons(network.eval(), crops, config.model).oks.tolist()


def test_model_files_of_any_input_answer_like_their_checkpoint(
    shard: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Through the engine; the file takes BGR pixels by its own mean."""
    from lpn_core.model.spec import InputSpec
    from lpn_training.checkpoint import averaged_weights, load_checkpoint

    state = {k: v.numpy() for k, v in averaged_weights(load_checkpoint(checkpoint)).items()
             if "num_batches" not in k}  # fmt: skip
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    state["conv1.weight"] = state["conv1.weight"][:, ::-1].copy()
    spec = InputSpec(channel_order="bgr", height=64, width=48, mean=mean[::-1], std=std[::-1])
    file = make_model_file("m", "lpn50", state, channel_order="bgr", input=spec)
    model_file.write(tmp_path / "m.safetensors", file)

    def oks(weights: object) -> dict[str, float]:
        arguments = ("-o", tmp_path, "--weights", weights, "--flip", "--json")
        result = look(shard, *arguments, sets=(HELD_OUT,))
        assert result.exit_code == 0, result.output
        crops = json.loads(result.stdout)["predictions"]["crops"]
        return {crop["picture"]: crop["oks"] for crop in crops}

    assert oks(tmp_path / "m.safetensors") == pytest.approx(oks(checkpoint), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sets", "code", "words"),
    [
        (("--weights", "lpn50"), (), 2, "nobody is kept from training: set data.held_out"),
        (("--weights", "lpn51"), (HELD_OUT,), 1, "no weights 'lpn51': neither a file nor one of"),
        (("--weights", CONFIGS / "tiny.toml"), (HELD_OUT,), 2, "is not a training checkpoint"),
        ((), ('data.shards=["none.tar"]',), 1, "none.tar"),
        (("--count", 0), (), 2, "--count"),
    ],
)
def test_look_says_what_is_wrong(
    shard: Path, tmp_path: Path, arguments: tuple[object, ...], sets: tuple[str, ...], code: int,
    words: str,
) -> None:  # fmt: skip
    result = look(shard, "-o", tmp_path / "out", *arguments, sets=sets)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_a_network_of_other_joints_is_refused(shard: Path, tmp_path: Path) -> None:
    from helpers import tiny_model_file

    model_file.write(tmp_path / "m.safetensors", tiny_model_file("mpii16"))
    result = look(shard, "--weights", tmp_path / "m.safetensors", sets=(HELD_OUT,))
    assert result.exit_code == 2
    assert "the network predicts 'mpii16'; the crops hold 'coco17'" in result.output
