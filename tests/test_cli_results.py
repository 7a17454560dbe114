"""lpn predict: no result is lost, whatever runs, fails or is killed beside it."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

for _module in ("click", "tqdm", "PIL.Image"):
    pytest.importorskip(_module)
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402
from lpn_core.cli.results import PREDICTIONS, Results  # noqa: E402
from PIL import Image  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        Image.fromarray(photo).save(tmp_path / place / "a.jpg")
    Image.fromarray(photo).save(tmp_path / "x" / "a.png")
    Image.fromarray(photo).save(tmp_path / "x" / "b.jpg")
    return tmp_path


def _predict(model: Path, out: Path, *arguments: object) -> Result:
    options = ["--whole-image", "--model", model, "-o", out]
    return CliRunner().invoke(main, ["predict", *map(str, (*arguments, *options))])


def _entries(out: Path, kind: str = "images") -> dict[str, dict[str, Any]]:
    entries = json.loads((out / PREDICTIONS).read_text())[kind]
    found = {entry["file"]: entry for entry in entries}
    assert len(found) == len(entries), "each file once"
    return found


def test_a_run_adds_to_earlier_ones(folder: Path, tiny_path: Path) -> None:
    out = folder / "out"
    assert _predict(tiny_path, out, folder / "x").exit_code == 0
    first = _entries(out)
    assert _predict(tiny_path, out, folder / "y").exit_code == 0
    both = _entries(out)
    assert set(both) == {*first, str(folder / "y" / "a.jpg")}
    assert all(both[file] == entry for file, entry in first.items())
    pictures = {entry["picture"] for entry in both.values()}
    assert len(pictures) == 4
    assert {path.name for path in out.iterdir()} == {*pictures, PREDICTIONS}
    assert next(iter(both)) == str(folder / "y" / "a.jpg"), "the newest run comes first"


def test_names_follow_from_the_image_alone(
    folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, alone = folder / "together", folder / "alone"
    assert _predict(tiny_path, together, folder / "x", folder / "y").exit_code == 0
    monkeypatch.chdir(folder / "y")
    for image in ("../x/a.png", folder / "x" / "b.jpg", "a.jpg", "../x/a.jpg", "../y/a.jpg"):
        assert _predict(tiny_path, alone, image).exit_code == 0
    assert _entries(alone) == _entries(together)
    twice = _predict(tiny_path, folder / "twice", "a.jpg", "../y/a.jpg")
    assert "images: 1, " in twice.stderr


def test_a_failed_run_keeps_what_there_was(folder: Path, tiny_path: Path) -> None:
    out, image = folder / "out", folder / "x" / "b.jpg"
    assert _predict(tiny_path, out, folder / "x").exit_code == 0
    before = _entries(out)
    content = image.read_bytes()
    image.write_bytes(b"broken")
    assert _predict(tiny_path, out, folder / "x").exit_code == 1
    assert _entries(out) == before
    assert list(_entries(out, "failed")) == [str(image)]
    assert _predict(tiny_path, out, folder / "y").exit_code == 0
    assert list(_entries(out, "failed")) == [str(image)], "it has not been done since"
    image.write_bytes(content)
    assert _predict(tiny_path, out, image).exit_code == 0
    assert _entries(out, "failed") == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"images": [1], "failed": []}', '{"images": []}'])
def test_another_predictions_json_is_not_overwritten(
    content: str, folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    out.mkdir()
    (out / PREDICTIONS).write_text(content)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the results have nowhere to go")

    monkeypatch.setattr(sys.modules["lpn_core.cli.predict"], "read_image", never)
    result = _predict(tiny_path, out, folder / "x")
    assert result.exit_code == 2
    assert "is not what this command writes" in " ".join(result.stderr.split())
    assert [path.name for path in out.iterdir()] == [PREDICTIONS]
    assert (out / PREDICTIONS).read_text() == content


def test_a_picture_that_cannot_be_written_keeps_its_poses(
    folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        if path.name.startswith("b-"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.touch()

    monkeypatch.setattr(sys.modules["lpn_core.cli.predict"], "write_atomically", full)
    out = folder / "out"
    result = _predict(tiny_path, out, folder / "x", "--json")
    assert result.exit_code == 1
    image = str(folder / "x" / "b.jpg")
    assert _entries(out)[image]["picture"] is None
    assert len(_entries(out)[image]["people"]) == 1
    assert "No space left on device" in _entries(out, "failed")[image]["error"]
    assert len(_entries(out)) == 3
    assert json.loads(result.stdout) == json.loads((out / PREDICTIONS).read_text())


_KILLED_AT_B = """
import os, signal, sys
from lpn_core.cli import main, predict
write = predict.write_atomically
def write_or_die(path, chunks):
    if path.name.startswith("b-"):
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, chunks)
predict.write_atomically = write_or_die
main(sys.argv[1:])
"""


def test_a_killed_run_is_gathered_by_the_next(folder: Path, tiny_path: Path) -> None:
    out, whole = folder / "out", folder / "whole"
    assert _predict(tiny_path, whole, folder / "x").exit_code == 0
    expected = _entries(whole)
    options = ["--whole-image", "--model", tiny_path, "-o", out]
    arguments = ["predict", folder / "x", *options]
    code = [sys.executable, "-c", _KILLED_AT_B, *map(str, arguments)]
    assert subprocess.run(code, check=False, capture_output=True).returncode == -9
    assert not (out / PREDICTIONS).exists()
    (journal,) = out.glob("predictions-*.jsonl")
    recorded = [json.loads(line)["picture"] for line in journal.read_text().splitlines()]
    pictures = {path.name for path in out.iterdir()} - {journal.name}
    assert len(pictures) == 2
    assert pictures < set(recorded), "no picture without its poses"
    # As if the kill had come while a line was written.
    with journal.open("a") as file:
        file.write('{"file": "/half/a/li')
    result = _predict(tiny_path, out, folder / "y")
    assert result.exit_code == 0
    assert "a run that was cut short" in result.stderr
    assert f"{journal.name}; images: 3" in result.stderr
    image = str(folder / "x" / "b.jpg")
    expected[image]["picture"] = None
    found = _entries(out)
    del found[str(folder / "y" / "a.jpg")]
    assert found == expected
    assert list(out.glob("predictions-*")) == []


def test_runs_at_the_same_time_add_up(tmp_path: Path) -> None:
    first = Results(tmp_path)
    first.add({"file": "/a", "picture": None})
    with Results(tmp_path) as second:
        second.add({"file": "/b", "picture": None})
        assert len(list(tmp_path.glob("predictions-*.jsonl"))) == 2, "that of the other stays"
    assert list(_entries(tmp_path)) == ["/b"]
    with first:
        first.fail("/c", "broken")
    assert list(_entries(tmp_path)) == ["/a", "/b"]
    assert list(_entries(tmp_path, "failed")) == ["/c"]
    assert [path.name for path in tmp_path.iterdir()] == [PREDICTIONS]


def test_the_record_stays_where_predictions_json_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    results = Results(tmp_path)
    results.add({"file": "/a", "picture": None})
    with monkeypatch.context() as patched:
        patched.setattr("lpn_core.cli.results.write_atomically", full)
        with (
            pytest.raises(OSError, match=r"No space left.*what was found is in .*\.jsonl"),
            results,
        ):
            pass
    with Results(tmp_path):
        pass
    assert list(_entries(tmp_path)) == ["/a"]


def test_the_document_is_printed_where_predictions_json_cannot_be_written(
    folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("lpn_core.cli.results.write_atomically", full)
    result = _predict(tiny_path, folder / "out", folder / "x", "--json")
    assert result.exit_code == 1
    assert "which the next run in this folder gathers" in " ".join(result.stderr.split())
    assert len(json.loads(result.stdout)["images"]) == 3


def test_an_error_of_the_program_loses_nothing(tmp_path: Path) -> None:
    def run() -> None:
        with Results(tmp_path) as results:
            results.add({"file": "/a", "picture": None})
            raise MemoryError

    with pytest.raises(MemoryError):
        run()
    assert list(_entries(tmp_path)) == ["/a"]
