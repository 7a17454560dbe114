"""The command line: what it writes, what it prints, how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lpn_core import PoseEstimator, bundled_models, model_file
from numpy.typing import NDArray

pytest.importorskip("click")
pytest.importorskip("tqdm")
Image = pytest.importorskip("PIL.Image")
features = pytest.importorskip("PIL.features")
from click.testing import CliRunner, Result  # noqa: E402
from lpn_core.cli import main  # noqa: E402
from lpn_core.model import safetensors  # noqa: E402


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _picture(path: Path) -> str:
    """What the picture of an image is called."""
    digest = hashlib.sha256(bytes(path.absolute())).hexdigest()[:8]
    return f"{path.stem}-{digest}.pose{'.png' if path.suffix == '.png' else '.jpg'}"


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    path = tmp_path / "my photos ü"
    path.mkdir()
    Image.fromarray(photo).save(path / "a.png")
    Image.fromarray(photo[:, :100]).save(path / "b.jpg")
    (path / "notes.txt").write_text("not an image")
    return path


def test_predict_writes_pictures_and_json(
    folder: Path, tiny_path: Path, tmp_path: Path, estimator: PoseEstimator
) -> None:
    out = tmp_path / "new" / "out"
    result = _run("predict", folder, "--whole-image", "--flip", "--model", tiny_path, "-o", out)
    assert result.exit_code == 0, result.output
    pictures = [_picture(folder / name) for name in ("a.png", "b.jpg")]
    assert sorted(p.name for p in out.iterdir()) == [*pictures, "predictions.json"]
    assert result.stdout == ""
    with Image.open(out / pictures[1]) as picture:
        assert picture.size == (100, 120)
    document = json.loads((out / "predictions.json").read_text())
    assert document["failed"] == []
    first, second = document["images"]
    assert (first["width"], first["height"]) == (160, 120)
    wanted = estimator(folder / "a.png", whole_image=True, flip=True)
    assert first == {
        "file": str(folder / "a.png"),
        "picture": pictures[0],
        "width": 160,
        "height": 120,
        "first_frame_only": False,
        "model": "tiny",
        **json.loads(json.dumps(wanted.to_dict())),
    }
    assert second["file"] == str(folder / "b.jpg")
    assert second["picture"] == pictures[1]
    # Its own pictures are not images to predict when it is run again in place.
    again = _run("predict", out, "--whole-image", "--model", tiny_path, "--json")
    assert again.exit_code == 2
    assert "holds no images" in again.output


def test_predict_json_only(folder: Path, tiny_path: Path) -> None:
    before = sorted(folder.iterdir())
    result = _run("predict", folder / "*.*g", "--whole-image", "--model", tiny_path, "--json")
    assert result.exit_code == 0, result.output
    images = json.loads(result.stdout)["images"]
    assert [Path(image["file"]).name for image in images] == ["a.png", "b.jpg"]
    assert [image["picture"] for image in images] == [None, None]
    assert sorted(folder.iterdir()) == before


def _predict(folder: Path, tiny_path: Path, boxes: object, *images: str) -> Result:
    file = folder / "boxes.json"
    file.write_text(boxes if isinstance(boxes, str) else json.dumps(boxes))
    paths = [folder / image for image in images] or [folder]
    return _run("predict", *paths, "--boxes", file, "--model", tiny_path, "--json")


BOX = [1.0, 2.0, 30.0, 40.0]


def test_some_images_fail_and_the_others_are_done(
    folder: Path, tiny_path: Path, tmp_path: Path
) -> None:
    (folder / "c.png").write_bytes(b"broken")
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [BOX], "b.jpg": [[1, 1, 0, 5]], "c.png": [BOX]}))
    out = tmp_path / "out"
    result = _run("predict", folder, "--boxes", boxes, "--model", tiny_path, "-o", out)
    assert result.exit_code == 1
    assert "boxes[0] is [1.0, 1.0, 0.0, 5.0]" in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "not an image" in line)
    assert line.startswith(f"{folder / 'c.png'}: not an image")
    assert sorted(p.name for p in out.iterdir()) == [_picture(folder / "a.png"), "predictions.json"]
    document = json.loads((out / "predictions.json").read_text())
    assert [Path(entry["file"]).name for entry in document["failed"]] == ["b.jpg", "c.png"]
    missing = _predict(folder, tiny_path, {"a.png": [BOX]}, "a.png", "b.jpg")
    assert missing.exit_code == 1
    assert "no entry for 'b.jpg'" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png"], "either --boxes FILE or --whole-image"),
        (["absent.png", "--whole-image"], "'absent.png' is neither a file nor a folder"),
        (["*.gif", "--whole-image"], "'*.gif' matches no images"),
        (["a.png", "--whole-image", "--threads", "0"], "threads"),
        (["a.png", "--whole-image", "--model", "lpn5000"], "no model 'lpn5000'"),
        (["a.png", "--whole-image", "--model", "notes.txt"], "not a safetensors file"),
        (["a.png", "--whole-image", "--boxes", "absent.json"], "absent.json"),
        (["a.png", "--whole-image", "--boxes", "notes.txt"], "both --boxes and --whole-image were"),
        (["a.png", "--whole-image", "--threshold", "nan"], "nan; wanted a number, such as 0.2"),
        (["a.png", "--whole-image", "--threshold", "inf"], "inf; wanted a number"),
        ([], "IMAGE"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = _run("predict", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert sorted(folder.iterdir()) == before


def test_info(tiny_path: Path) -> None:
    result = _run("info", tiny_path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["name"] == "tiny"
    assert document["parameters_folded"] == 17 * 3 * 16 + 17
    assert document["heatmaps"] == {"height": 16, "width": 12, "joints": 17}
    assert document["input"]["channel_order"] == "rgb"
    assert document["decode"] == {
        "kind": "soft_argmax",
        "beta": 160.0,
        "quarter_step": True,
        "flip_shift": 1,
    }
    assert document["provenance"]["notes"] == "for tests"
    assert document["provenance"]["ap"] is None
    assert len(document["steps"]) >= 1
    text = _run("info", tiny_path)
    assert text.exit_code == 0
    assert "channel_order: rgb" in text.stdout
    assert "training_data: not known" in text.stdout
    assert document["card"] is None
    assert "card" not in text.stdout
    assert document["sha256"] == safetensors.read(tiny_path)[1]["lpn_core_sha256"]
    assert f"sha256: {document['sha256']}\n" in text.stdout


@pytest.mark.skipif(not bundled_models(), reason="this build carries no weights")
def test_info_names_a_card_that_is_there() -> None:
    for model in bundled_models():
        document = json.loads(_run("info", model, "--json").stdout)
        card = Path(document["card"])
        assert card.read_text(encoding="utf-8").startswith(f"# Model card: `{model}`")
        assert f"card: {card}\n" in _run("info", model).stdout
        # What the notes refer to lies beside the file, in the wheel as well.
        for name in re.findall(r"[\w/]+\.md", document["provenance"]["notes"]):
            assert (card.parent / name).is_file(), name


def test_verify(tiny_path: Path, tiny: model_file.ModelFile, tmp_path: Path) -> None:
    result = _run("verify", tiny_path)
    assert result.exit_code == 0, result.output
    assert "self-test passed" in result.stdout
    moved = tiny.self_test.keypoints.copy()
    moved[1, 5, 0] += 0.06
    path = tmp_path / "moved.safetensors"
    changed = replace(tiny, self_test=model_file.SelfTest(tiny.self_test.crops, moved))
    model_file.write(path, changed)
    result = _run("verify", path)
    assert result.exit_code == 1
    assert "self-test FAILED: joints within 0.06 px (limit 0.05)" in result.stdout
    assert _run("verify", tmp_path / "absent").exit_code == 2


def test_verify_checks_the_sha256(tiny_path: Path, tmp_path: Path) -> None:
    tensors, metadata = safetensors.read(tiny_path)
    assert metadata["lpn_core_sha256"] in _run("verify", tiny_path).stdout
    path = tmp_path / "other.safetensors"
    safetensors.write(path, tensors, metadata | {"lpn_core_sha256": "0" * 64})
    result = _run("verify", path)
    assert result.exit_code == 2
    assert f"{path}: the content does not have the SHA-256" in result.stderr


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["click", "tqdm", "PIL"])
def test_without_the_extra(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None\nfrom lpn_core.cli import main\nmain()"
    done = _python(code)
    assert done.returncode == 1
    assert 'pip install "lpn-core[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_image_without_pillow(photo_path: Path, tiny_path: Path) -> None:
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "import lpn_core\n"
        f"pose = lpn_core.load({str(tiny_path)!r})\n"
        "try:\n"
        f"    pose({str(photo_path)!r}, whole_image=True)\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert 'pip install "lpn-core[image]"' in done.stdout


def test_a_name_that_is_not_utf8(folder: Path, tiny_path: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    try:
        (folder / "a.png").rename(folder / name)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    out = tmp_path / "out"
    result = _run("predict", folder / name, "--whole-image", "--model", tiny_path, "-o", out)
    assert result.exit_code == 0, result.output
    document = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    assert document["images"][0]["file"] == str(folder / name)


def test_patterns_leave_out_results(folder: Path, tiny_path: Path) -> None:
    (folder / "a.png").rename(folder / "a.pose.png")
    result = _run("predict", folder / "*.png", "--whole-image", "--model", tiny_path, "--json")
    assert result.exit_code == 2
    assert "matches no images" in " ".join(result.stderr.split())


def test_results_that_a_shell_lists_are_left_out(folder: Path, tiny_path: Path) -> None:
    results = [folder / "a.pose.png", folder / "b.pose.jpg"]
    for path in results:
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    usual = ["--whole-image", "--model", tiny_path, "--json"]
    listed = _run("predict", *sorted(folder.glob("*.*g")), *usual)
    assert listed.exit_code == 0, listed.output
    images = json.loads(listed.stdout)["images"]
    assert [Path(image["file"]).name for image in images] == ["a.png", "b.jpg"]
    assert f"left out what this command wrote: {results[0]} and 1 more" in listed.stderr
    alone = _run("predict", results[0], *usual)
    assert json.loads(alone.stdout)["images"][0]["file"] == str(results[0])
    none = _run("predict", *results, *usual)
    assert none.exit_code == 2
    assert "all pictures that this command wrote" in " ".join(none.stderr.split())


def test_folders_hold_what_pillow_reads(
    tmp_path: Path, tiny_path: Path, photo: NDArray[np.uint8]
) -> None:
    endings = [".jpg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".ppm", ".tga", ".tiff"]
    endings += [".jp2"] * features.check("jpg_2000") + [".avif"] * features.check("avif")
    for ending in endings:
        Image.fromarray(photo).save(tmp_path / f"a{ending}")
    (tmp_path / "a.pdf").touch()
    result = _run("predict", tmp_path, "--whole-image", "--model", tiny_path, "--json")
    assert result.exit_code == 0, result.output
    found = [Path(image["file"]).suffix for image in json.loads(result.stdout)["images"]]
    assert sorted(found) == sorted(endings)
    assert "'photos/**/*.jpg'" in _run("predict", "--help").stdout


def test_a_name_that_is_too_long(tiny_path: Path) -> None:
    result = _run("predict", "x" * 5000, "--whole-image", "--model", tiny_path, "--json")
    assert result.exit_code == 2
    assert "name too long" in " ".join(result.stderr.split())
