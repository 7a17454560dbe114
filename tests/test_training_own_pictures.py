"""From annotated pictures to a model: the commands of training/README.md, run on drawn pictures."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for _module in ("click", "PIL", "pycocotools"):
    pytest.importorskip(_module)

import lpn_core  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from figures import write_figures  # noqa: E402
from lpn_core import COCO17, model_file  # noqa: E402
from lpn_core.cli import main as lpn  # noqa: E402
from lpn_training.cli import main as lpn_train  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402
from training_runs import CONFIGS, one_thread  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TINY = ("model.height=64", "model.width=48", "data.workers=0", "train.batch_size=4",
        "schedule.total_steps=2", "train.validate_every=2", "train.log_every=1")  # fmt: skip
DOG = ["nose", "Left ear", "Right ear", "tail", "chest"]

pytestmark = pytest.mark.skipif(
    not lpn_core.bundled_models(), reason="this build carries no weights"
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def commands() -> list[list[list[str]]]:
    """The words of every command of each shell block in the README's section."""
    text = (ROOT / "training" / "README.md").read_text(encoding="utf-8")
    section = text.split("## From your own pictures to your own model\n")[1].split("\n## ")[0]
    blocks = [part.split("\n", 1)[1] for part in section.split("```")[1::2]]
    return [
        [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
        for block in blocks
    ]


def run(words: list[str], source: str) -> str:
    """Run a command, made small."""
    program, verb = words[:2]
    more: list[str] = []
    if verb == "pack":
        more = ["--size", "64x48", "--workers", "0"]
    elif verb in ("look", "fit"):
        sets = (*TINY, f"data.held_out={{ {source} = 0.4 }}")
        more = [word for value in sets for word in ("--set", value)]
        more += ["--count", "6"] if verb == "look" else []
    result = CliRunner().invoke(lpn if program == "lpn" else lpn_train, [*words[1:], *more])
    assert result.exit_code == 0, (words, result.output)
    return result.stdout


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(CONFIGS, tmp_path / "training" / "lpn_training" / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lpn_training.train.MEASURED_VIEWS", 8)
    (tmp_path / "runs").mkdir()
    Image.new("RGB", (60, 80), "grey").save(tmp_path / "new.jpg")
    return tmp_path


def write_cvat(folder: Path) -> None:
    """COCO's joints under other spellings in another order, pictures in folders of subsets."""
    for subset in ("default", "test"):
        figures = write_figures(folder / "images" / subset)
        content = json.loads(figures.read_text())
        figures.unlink()
    order = list(np.random.default_rng(3).permutation(17))
    names = [COCO17.names[joint].replace("_", " ").title() for joint in order]
    category = {"id": 1, "name": "person", "supercategory": "", "keypoints": names,
                "skeleton": [[1, 2], [2, 3]]}  # fmt: skip
    for annotation in content["annotations"]:
        triples = np.reshape(annotation["keypoints"], (17, 3))[order]
        annotation.update(keypoints=triples.reshape(-1).tolist(), segmentation=[],
                          num_keypoints=float(annotation["num_keypoints"]),
                          id=float(annotation["id"]), attributes={"occluded": False})  # fmt: skip
        del annotation["iscrowd"]
    text = json.dumps({**content, "categories": [category], "licenses": [{"id": 0}]})
    (folder / "annotations").mkdir()
    for subset in ("default", "test"):
        (folder / "annotations" / f"person_keypoints_{subset}.json").write_text(text)


def write_label_studio(folder: Path, count: int = 12) -> None:
    """Joints of one's own beside a category of rectangles; uploaded pictures, by address."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(4)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        points = rng.integers((10, 10), (50, 70), (len(DOG), 2))
        picture = Image.new("RGB", (60, 80), (90, 100, 110))
        for x, y in points.tolist():
            ImageDraw.Draw(picture).ellipse((x - 3, y - 3, x + 3, y + 3), fill="white")
        name = f"{index:08x}-dog {index}.png"
        picture.save(folder / "images" / name)
        address = ("/data/upload/1/", "s3://bucket/dogs/", "http://host/data/local-files/?d=")
        images.append({"id": index, "file_name": address[index % 3] + name.replace(" ", "%20"),
                       "width": 60, "height": 80})  # fmt: skip
        low, high = points.min(axis=0), points.max(axis=0)
        triples = np.column_stack([points, np.full(len(DOG), 2)])
        number = 2 * index
        annotations += [
            {"id": number, "image_id": index, "category_id": 0, "segmentation": [], "ignore": 0,
             "bbox": [5.0, 5.0, 50.0, 70.0], "iscrowd": 0, "area": 3500.0},
            {"id": number + 1, "image_id": index, "category_id": 1, "iscrowd": 0,
             "keypoints": triples.reshape(-1).tolist(), "num_keypoints": len(DOG),
             "bbox": [*low.tolist(), *(high - low).tolist()]},
        ]  # fmt: skip
    categories = [{"id": 0, "name": "box"}, {"id": 1, "name": "default", "keypoints": DOG,
                   "supercategory": "default", "skeleton": []}]  # fmt: skip
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    for name in ("annotations.json", "test.json"):
        (folder / name).write_text(text)


def test_cvats_export_of_cocos_joints(place: Path) -> None:
    write_cvat(place / "mine")
    block = commands()[0]
    assert [words[1] for words in block] == [
        "pack", "look", "fit", "look", "eval", "export", "predict"
    ]  # fmt: skip
    said = [run(words, "mine") for words in block]
    assert not list(place.glob("shards/mine/*.keypoints.json"))
    assert "best AP" in said[2]
    # The joints are where COCO's order has them: the bundled weights see some of these figures.
    listed = [float(line.split()[0]) for line in said[1].splitlines()]
    assert listed == sorted(listed)
    assert "beta" in said[4]
    for sheet in ("packed.png", "look/views.png", "look/predictions.png"):
        with Image.open(place / sheet) as picture:
            assert min(picture.size) > 60
    file = model_file.read(place / "mine.safetensors")
    assert file.keypoint_set == COCO17
    assert "| started from | lpn50 |" in (place / "mine.md").read_text()
    assert (place / "out" / "predictions.json").exists()


def test_label_studios_export_of_joints_of_ones_own(place: Path) -> None:
    write_label_studio(place / "dogs")
    block = commands()[1]
    assert [words[1] for words in block] == ["pack", "fit", "eval", "export", "predict"]
    said = [run(words, "dogs") for words in block]
    assert "model.keypoints = 'shards/dogs/dogs.keypoints.json'" in said[0]
    found = json.loads((place / "shards" / "dogs" / "dogs.keypoints.json").read_text())
    assert found == {"name": "default5", "names": DOG, "skeleton": [], "mirror_pairs": [[1, 2]],
                     "sigmas": None}  # fmt: skip
    file = model_file.read(place / "dogs.safetensors")
    assert list(file.keypoint_set.names) == DOG
    document = json.loads((place / "out" / "predictions.json").read_text())
    assert all(name in json.dumps(document) for name in DOG)
    # Filters of joints that lpn50 knows are its own, but for two small steps; others began anew.
    bundled = model_file.read(ROOT / "python" / "lpn_core" / "weights" / "lpn50.safetensors")
    theirs, ours = (f.weights["final_layer.weight"].reshape(-1, 256) for f in (bundled, file))
    known = [COCO17.names.index(name) for name in ("nose", "left_ear", "right_ear")]
    assert np.abs(theirs[known] - ours[:3]).max() < 0.05 * np.abs(theirs[known]).max()
    assert np.abs(ours[3:]).max() < 0.1 * np.abs(theirs[known]).max()
