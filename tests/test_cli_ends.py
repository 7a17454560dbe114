"""The command line: signals, streams that cannot be written, warnings, and what -v says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import stopped_at_import
from lpn_core import model_file, supported_isas
from numpy.typing import NDArray

pytest.importorskip("click")
pytest.importorskip("tqdm")
Image = pytest.importorskip("PIL.Image")
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402
from lpn_core.cli.outputs import check_folder  # noqa: E402


def _run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)


def _lpn(*arguments: object, before: str = "", **streams: int) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, after the code ``before``."""
    code = f"import sys\n{before}\nfrom lpn_core.cli import main\nmain(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=streams.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        Image.fromarray(photo).save(path / name)
    return path


_SIGNAL_AT_B = """
import os, signal
from lpn_core.cli import predict
load = predict.read_image
def load_and_stop(path, **options):
    if path.name == "b.jpg":
        os.kill(os.getpid(), {number})
    return load(path, **options)
predict.read_image = load_and_stop
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_keeps_what_is_done(
    name: str, code: int, folder: Path, tiny_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = _lpn(
        "predict", folder, "--whole-image", "--model", tiny_path, "-o", out,
        before=_SIGNAL_AT_B.format(number=f"signal.{name}"),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert f"stopped by {name} after 2 of 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"lpn: {name}: stopping after this image; again to stop at once\n" in done.stderr
    document = json.loads((out / "predictions.json").read_text())
    pictures = [entry["picture"] for entry in document["images"]]
    assert sorted(path.name for path in out.iterdir()) == [*pictures, "predictions.json"]
    assert [Path(entry["file"]).name for entry in document["images"]] == ["a.png", "b.jpg"]


def test_a_second_signal_ends_at_once(folder: Path, tiny_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    twice = _SIGNAL_AT_B.format(number="signal.SIGINT").replace(
        "    return", "        os.kill(os.getpid(), signal.SIGINT)\n    return", 1
    )
    done = _lpn(
        "predict", folder, "--whole-image", "--model", tiny_path, "-o", out, before=twice
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    (entry,) = json.loads((out / "predictions.json").read_text())["images"]
    assert entry["file"] == str(folder / "a.png")
    assert sorted(path.name for path in out.iterdir()) == [entry["picture"], "predictions.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [["info"], ["info", "--json"], ["verify"], ["--help"]])
def test_an_output_that_is_full(arguments: list[str], tiny_path: Path) -> None:
    model = [] if "--help" in arguments else [tiny_path]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = _lpn(*arguments, *model, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == "lpn: the output cannot be written: No space left on device\n"


def test_an_output_that_nobody_reads(tiny_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _lpn("info", tiny_path, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize("module", ["numpy", "lpn_core._core", "click", "tqdm", "PIL"])
def test_ctrl_c_while_starting(module: str) -> None:
    done = stopped_at_import("pyproject.toml", "lpn", module)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "lpn: stopped\n"


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lpn_core", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lpn, version")
    code = "import sys, runpy; sys.modules['click'] = None\n"
    code += "runpy.run_module('lpn_core', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "lpn-core[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_huge_image_is_named_in_one_line(
    folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 160 * 120 // 2)
    usual = ["predict", folder / "a.png", "--whole-image", "--model", tiny_path, "--json"]
    result = _run(*usual)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 160 * 120 // 2 - 1)
    result = _run(*usual)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{folder / 'a.png'}: 160 x 120 pixels; wanted at most 19,198, twice")


def test_an_animation_is_said_to_be_one(
    tiny_path: Path, tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    first, second = Image.fromarray(photo), Image.fromarray(photo[::-1])
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    first.save(tmp_path / "still.gif")
    result = _run("predict", tmp_path, "--whole-image", "--model", tiny_path, "--json")
    assert result.exit_code == 0, result.output
    moving, still = json.loads(result.stdout)["images"]
    assert (moving["first_frame_only"], still["first_frame_only"]) == (True, False)
    (line,) = result.stderr.splitlines()
    assert line == f"lpn: {tmp_path / 'moving.gif'}: holds several frames; the first one is taken"


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(_: object) -> float:
        warnings.warn("the moon is full", stacklevel=1)
        return 0.0

    monkeypatch.setattr(sys.modules["lpn_core.cli.verify"], "self_test_error", warn)
    result = _run("verify", tiny_path)
    assert result.exit_code == 0, result.output
    assert result.stderr == "lpn: the moon is full\n"


def test_verbose(folder: Path, tiny_path: Path) -> None:
    arguments = ["predict", folder / "a.png", "--whole-image", "--threads", 1]
    arguments += ["--model", tiny_path, "--json"]
    quiet, loud = _run(*arguments), _run("-v", *arguments)
    assert quiet.exit_code == loud.exit_code == 0, loud.output
    assert quiet.stderr == ""
    assert loud.stdout == quiet.stdout
    isa = json.loads(_run("info", tiny_path, "--json").stdout)["isa"]
    assert loud.stderr.splitlines() == [
        f"lpn: model tiny, from {tiny_path}; fp32; threads: 1; instruction set: {isa}",
        f"lpn: {folder / 'a.png'}: 160 x 120 pixels, people: 1",
    ]
    assert _run(*arguments).stderr == "", "the next call is quiet again"


def test_verify_json(tiny_path: Path, tiny: model_file.ModelFile, tmp_path: Path) -> None:
    result = _run("verify", tiny_path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.pop("error_px") <= 0.05
    assert document.pop("isa") in supported_isas()
    assert document.pop("precision") == "fp32"
    assert len(document.pop("sha256")) == 64
    assert document == {"model": "tiny", "passed": True, "limit_px": 0.05, "int8_bits": None}
    path = tmp_path / "moved.safetensors"
    moved = tiny.self_test.keypoints + 1
    model_file.write(
        path, replace(tiny, self_test=model_file.SelfTest(tiny.self_test.crops, moved))
    )
    result = _run("verify", path, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert not document["passed"]
    assert document["error_px"] == pytest.approx(2**0.5, rel=0.01)


@pytest.mark.parametrize("verb", ["bench", "predict", "info"])
def test_a_bad_number_of_threads_in_the_environment(
    verb: str, folder: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LPN_NUM_THREADS", "foo")
    options = [folder, "--whole-image", "--model"] if verb == "predict" else []
    result = _run(verb, *options, tiny_path)
    assert result.exit_code == 2
    assert "LPN_NUM_THREADS" in result.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc to write into")
def test_a_folder_that_cannot_be_written(
    folder: Path, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the results have nowhere to go")

    monkeypatch.setattr(sys.modules["lpn_core.cli.predict"], "read_image", never)
    result = _run("predict", folder, "--whole-image", "--model", tiny_path, "-o", "/proc")
    assert result.exit_code == 2
    assert "no file can be made in /proc" in " ".join(result.stderr.split())
    check_folder(tmp_path, "--output")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"], "nothing is left behind"
