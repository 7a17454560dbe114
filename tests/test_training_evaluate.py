"""Evaluation against pycocotools and published numbers; export against PyTorch; the teacher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")

from lpn_core import Model, model_file, preprocess  # noqa: E402
from lpn_core.model_spec import InputSpec  # noqa: E402
from lpn_training import metrics  # noqa: E402
from lpn_training.checkpoint import write_whole  # noqa: E402
from lpn_training.config import Config  # noqa: E402
from lpn_training.data.augment import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from lpn_training.data.coco import CocoPersons  # noqa: E402
from lpn_training.evaluate import DECODES, evaluate, onnx_network  # noqa: E402
from lpn_training.export import export_checkpoint  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402

SHARED = Path(os.environ.get("LPN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TEACHER = SHARED / "models" / "pp_tinypose_256x192.onnx"
needs_shared = pytest.mark.skipif(
    not TEACHER.exists(), reason="the shared data is not there: set LPN_SHARED to its folder"
)


def warp_affine_crops(
    image: NDArray[np.uint8], order: str, where: preprocess.Regions, spec: InputSpec
) -> NDArray[np.float32]:
    """The crop as OpenCV makes it, to whole grey levels: what the published numbers used."""
    import cv2

    assert order == spec.channel_order
    crops = [
        cv2.warpAffine(
            image, matrix, (spec.width, spec.height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        for matrix in where.matrices(spec.height, spec.width)
    ]
    scaled = (np.stack(crops) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    return scaled.astype(np.float32)


@needs_shared
def test_harness_reproduces_the_teachers_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    monkeypatch.setattr(preprocess, "crop", warp_affine_crops)
    folder = SHARED / "data" / "coco"
    persons = CocoPersons(
        folder / "annotations" / "person_keypoints_val2017.json", folder / "val2017"
    )
    network, spec = onnx_network(TEACHER), InputSpec(channel_order="rgb")

    def numbers(found: dict[str, float]) -> list[float]:
        return [round(found[name], 3) for name in metrics.NAMES[:6]]

    plain = evaluate(persons, network, spec)["argmax-quarter"]
    assert numbers(plain) == [0.650, 0.880, 0.747, 0.629, 0.686, 0.682]
    flipped = evaluate(persons, network, spec, flip=True)
    assert numbers(flipped["argmax-quarter"]) == [0.653, 0.870, 0.741, 0.640, 0.681, 0.688]
    assert numbers(flipped["beta"]) == [0.644, 0.871, 0.740, 0.629, 0.676, 0.682]
    assert numbers(flipped["beta-quarter"]) == [0.655, 0.870, 0.725, 0.644, 0.678, 0.689]


@needs_shared
@pytest.mark.parametrize("pair", ["pair_a", "pair_b"])
def test_average_precision_equals_pycocotools(pair: str) -> None:
    folder = SHARED / "data" / "eval_parity"
    content, results = (
        json.loads((folder / f"{pair}_{part}.json").read_text()) for part in ("gt", "dt")
    )
    expected = json.loads((folder / "expected.json").read_text())[pair]
    ids = [image["id"] for image in content["images"]]
    found = metrics.average_precision(content, results, ids)
    assert list(found.values()) == pytest.approx(expected, abs=1e-8)


@needs_shared
def test_teacher_module_equals_onnxruntime() -> None:
    pytest.importorskip("onnxruntime")
    from lpn_training.onnx_module import OnnxModule

    crops = np.random.default_rng(0).normal(size=(2, 256, 192, 3)).astype(np.float32)
    expected = onnx_network(TEACHER)(crops)
    module = OnnxModule(TEACHER).eval()
    with torch.inference_mode():
        found = module(torch.from_numpy(crops).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_person_score_is_the_mean_above_the_threshold() -> None:
    joints = np.array([[0.1, 0.2, 0.5, 0.7], [0.0, 0.1, 0.2, 0.2]])
    scores = metrics.person_scores(joints, np.array([0.5, 1.0]))
    assert scores.tolist() == pytest.approx([0.3, 0.0])


def test_nms_keeps_the_better_of_two_equal_poses() -> None:
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 100, (17, 2))
    poses = np.stack((pose, pose + 0.5, pose + 60))
    kept = metrics.oks_nms(poses, np.array([0.4, 0.9, 0.1]), np.full(3, 1e4))
    assert kept == [1, 2]


def test_perfect_heatmaps_reach_full_ap(tmp_path: Path) -> None:
    """A network that draws the truth where the crop says it is scores AP 1 through all steps."""
    from PIL import Image

    rng = np.random.default_rng(0)
    points = np.concatenate((rng.uniform((60, 40), (180, 200), (17, 2)), np.full((17, 1), 2)), 1)
    annotation: dict[str, Any] = {
        "id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "area": 10000.0,
        "bbox": [50, 30, 140, 180], "keypoints": points.reshape(-1).tolist(), "num_keypoints": 17,
    }  # fmt: skip
    content = {
        "images": [{"id": 5, "file_name": "a.png", "width": 260, "height": 240}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(content))
    Image.new("RGB", (260, 240)).save(tmp_path / "a.png")
    persons = CocoPersons(tmp_path / "gt.json", tmp_path)
    # Centre (120, 120); 180 x 3/4 = 135 < 140, so the width counts: 175 px on 48.
    places = (points[:, :2] - (120, 120)) * 48 / 175 + (24, 32)

    def network(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        ys, xs = np.mgrid[:64, :48]
        squared = (xs[..., None] - places[:, 0]) ** 2 + (ys[..., None] - places[:, 1]) ** 2
        return np.exp(-squared / 8)[None].repeat(len(crops), 0).astype(np.float32)

    found = evaluate(persons, network, InputSpec(channel_order="rgb"))
    assert set(found) == set(DECODES)
    assert [value["AP"] for value in found.values()] == pytest.approx([1.0] * 4)


def test_no_labelled_person_is_an_error(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no person with a labelled joint"):
        CocoPersons(tmp_path / "gt.json", tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_exported_model_equals_the_network(tmp_path: Path, dtype: str) -> None:
    torch.manual_seed(0)
    network = LPN(50, "gc").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.nn.init.normal_(network.final_layer.weight, std=0.1)
    state = network.state_dict()
    write_whole(tmp_path / "c.pt", {"model": state, "config": Config().to_dict(), "step": 0})
    path = tmp_path / "m.safetensors"
    export_checkpoint(tmp_path / "c.pt", path, name="lpn50", dtype=dtype, ap=0.5, notes="test")
    made = model_file.read(path)
    assert (made.provenance.ap, made.provenance.notes) == (0.5, "test")
    assert made.input.channel_order == "rgb"
    crops = np.random.default_rng(0).normal(size=(2, 256, 192, 3)).astype(np.float32)
    with Model(made, threads=1) as model:
        found = model(crops)
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    # bfloat16 keeps 8 bits: a relative 2^-9 per weight, averaged over many.
    limit = 1e-5 if dtype == "float32" else 2e-2
    assert np.abs(found - expected.numpy()).max() <= limit * expected.abs().max().item()


def test_command_line(tmp_path: Path) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    run = click_testing.CliRunner().invoke
    assert set(main.commands) == {"pack", "fit", "eval", "export"}
    config = tmp_path / "c.toml"
    config.write_text("[train]\nlearnig_rate = 1\n")
    result = run(main, ["fit", str(config), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "unknown configuration key train.learnig_rate" in result.output
    assert not (tmp_path / "out").exists()
    state = LPN(50, "gc").state_dict()
    write_whole(tmp_path / "c.pt", {"model": state, "config": Config().to_dict(), "step": 0})
    output = tmp_path / "m.safetensors"
    arguments = ["export", str(tmp_path / "c.pt"), "-o", str(output), "--name", "lpn50", "--bf16"]
    result = run(main, arguments)
    assert result.exit_code == 0, result.output
    assert output.stat().st_size < 7_000_000
