"""Evaluation against published numbers; the engine and exports against PyTorch; the teacher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import write_dataset
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")

from lpn_core import Model, evaluation, model_file, preprocess  # noqa: E402
from lpn_core.estimator import read_model  # noqa: E402
from lpn_core.evaluation import CocoPeople  # noqa: E402
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD, InputSpec  # noqa: E402
from lpn_training.checkpoint import write_whole  # noqa: E402
from lpn_training.config import Config  # noqa: E402
from lpn_training.data.finders import OnnxTeacher  # noqa: E402
from lpn_training.evaluate import open_candidate  # noqa: E402
from lpn_training.export import export_checkpoint  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402

SHARED = Path(os.environ.get("LPN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
COCO = SHARED / "data" / "coco"
ANNOTATIONS = COCO / "annotations" / "person_keypoints_val2017.json"
TEACHER = SHARED / "models" / "pp_tinypose_256x192.onnx"
needs_shared = pytest.mark.skipif(
    not TEACHER.exists(), reason="the shared data is not there: set LPN_SHARED to its folder"
)


def warp_affine_crops(
    image: NDArray[np.uint8], order: str, where: preprocess.Regions, spec: InputSpec, **_: Any
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
    monkeypatch.setattr("lpn_core.image.regions.crop", warp_affine_crops)
    people = CocoPeople(ANNOTATIONS, COCO / "val2017")
    network, spec = OnnxTeacher(TEACHER), InputSpec(channel_order="rgb")

    def numbers(found: dict[str, float]) -> list[float]:
        return [round(found[name], 3) for name in evaluation.METRICS[:6]]

    plain = evaluation.evaluate(people, network, spec)["argmax-quarter"]
    assert numbers(plain) == [0.650, 0.880, 0.747, 0.629, 0.686, 0.682]
    flipped = evaluation.evaluate(people, network, spec, flip=True)
    assert numbers(flipped["argmax-quarter"]) == [0.653, 0.870, 0.741, 0.640, 0.681, 0.688]
    assert numbers(flipped["beta"]) == [0.644, 0.871, 0.740, 0.629, 0.676, 0.682]
    assert numbers(flipped["beta-quarter"]) == [0.655, 0.870, 0.725, 0.644, 0.678, 0.689]


@needs_shared
def test_teacher_module_equals_onnxruntime() -> None:
    pytest.importorskip("onnxruntime")
    from lpn_training.onnx_module import OnnxModule

    crops = np.random.default_rng(0).normal(size=(2, 256, 192, 3)).astype(np.float32)
    expected = OnnxTeacher(TEACHER)(crops)
    module = OnnxModule(TEACHER).eval()
    with torch.inference_mode():
        found = module(torch.from_numpy(crops).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def unfolded_checkpoint(name: str, path: Path) -> None:
    """A checkpoint of a bundled LPN-50: each folded bias as a BatchNorm that does nothing else."""
    folded = read_model(name)
    network = LPN(50, "gc")
    inner = {
        "mask_weight": "conv_mask.weight", "mask_bias": "conv_mask.bias",
        "w1": "channel_add_conv.0.weight", "b1": "channel_add_conv.0.bias",
        "norm_weight": "channel_add_conv.1.weight", "norm_bias": "channel_add_conv.1.bias",
        "w2": "channel_add_conv.3.weight", "b2": "channel_add_conv.3.bias",
    }  # fmt: skip
    norms: set[str] = set()
    for key, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()
            module.running_var.fill_(1 - module.eps)
            norms.update(f"{key}.{inside}" for inside in module.state_dict())
    state = network.state_dict()
    waiting = set(state)
    for key, array in folded.weights.items():
        node, _, weight = key.rpartition(".")
        if weight == "weight_scale":
            continue
        if node.endswith(".att"):
            target = f"{node}.{inner[weight]}"
        elif node == "final_layer":
            target = key
        elif node.endswith(".downsample"):
            target = f"{node}.0.weight" if weight == "weight" else f"{node}.1.bias"
        elif weight == "weight":
            target = key
        elif node.startswith("deconv_layers."):
            target = f"deconv_layers.{int(node.rpartition('.')[2]) + 1}.bias"
        else:
            target = f"{node[:-5]}bn{node[-1]}.bias"
        state[target].copy_(torch.tensor(array).reshape(state[target].shape))
        waiting.remove(target)
    assert waiting < norms
    write_whole(path, {"model": state, "config": Config().to_dict(), "step": 0})


# With flip test PyTorch takes a minute.
@needs_shared
@pytest.mark.parametrize("flip", [False, pytest.param(True, marks=pytest.mark.full)])
def test_ap_by_the_engine_is_pytorchs(tmp_path: Path, flip: bool) -> None:
    """The bundled model, as a checkpoint, through both engines of ``lpn-train eval``."""
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    checkpoint = tmp_path / "lpn50.pt"
    unfolded_checkpoint("lpn50", checkpoint)
    usual = ["eval", str(checkpoint), "--annotations", str(ANNOTATIONS), "--images", str(COCO),
             "--json", *(["--flip"] if flip else [])]  # fmt: skip
    found = {}
    for engine in ("torch", "core"):
        result = click_testing.CliRunner().invoke(main, [*usual, "--engine", engine])
        assert result.exit_code == 0, result.output
        found[engine] = json.loads(result.stdout)["metrics"]
    assert found["core"].keys() == set(evaluation.DECODES)
    for name, values in found["core"].items():
        assert values == pytest.approx(found["torch"][name], abs=1e-3)
    # What the file says of its weights, by its own decode and to the digits that it gives.
    stated = read_model("lpn50").provenance
    expected = stated.ap_flip if flip else stated.ap
    assert found["core"]["beta-quarter"]["AP"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda:7", "PyTorch sees 2 GPUs here"), ("gpu", "wanted cpu, cuda or cuda:N")],
)
@pytest.mark.parametrize("verb", ["eval", "compare"])
def test_a_device_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, device: str, words: str
) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    checkpoint = str(tmp_path / "a.pt")
    write_whole(Path(checkpoint), {"model": {}, "config": Config().to_dict(), "step": 0})
    more = {
        "eval": ["--annotations", checkpoint, "--images", str(tmp_path)],
        "compare": [checkpoint, "--shards", str(tmp_path)],
    }[verb]
    result = click_testing.CliRunner().invoke(main, [verb, checkpoint, *more, "--device", device])
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())


def test_names_of_decodes_are_lpn_cores() -> None:
    from lpn_training.cli.eval import KINDS

    assert KINDS == evaluation.DECODES


def test_what_an_engine_cannot_run_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    with pytest.raises(ValueError, match="engine is 'jax'"):
        open_candidate(tiny_path, engine="jax")
    with pytest.raises(ValueError, match="--engine core runs it"):
        open_candidate(tiny_path)
    with pytest.raises(ValueError, match="runs checkpoints and model files"):
        open_candidate(tmp_path / "a.onnx", engine="core")
    assert open_candidate(tiny_path, engine="core").spec.height == 64


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
    assert {"pack", "fit", "eval", "export", "plot"} <= set(main.commands)
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


def test_several_betas_are_a_table(tmp_path: Path, tiny_path: Path) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    usual = ["eval", str(tiny_path), "--engine", "core", "--annotations",
             str(write_dataset(tmp_path)), "--images", str(tmp_path), "--json"]  # fmt: skip
    run = click_testing.CliRunner().invoke
    result = run(main, [*usual, "--decode", "beta", "--beta", "40,160"])
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["metrics"]) == ["beta 40", "beta 160"]
    for bad, words in (("40,x", "wanted numbers"), ("0", "beta is 0")):
        result = run(main, [*usual, "--beta", bad])
        assert result.exit_code == 2
        assert words in result.output


@pytest.fixture
def small_eval(tmp_path: Path, tiny_path: Path) -> list[str]:
    """A command that evaluates a tiny model on three images."""
    return ["eval", str(tiny_path), "--engine", "core", "--annotations",
            str(write_dataset(tmp_path)), "--images", str(tmp_path), "--json"]  # fmt: skip


def test_results_and_flip_shift_are_those_of_lpn_eval(
    tmp_path: Path, tiny_path: Path, small_eval: list[str]
) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_core.cli import main as lpn
    from lpn_training.cli import main

    run = click_testing.CliRunner().invoke
    options = ["--decode", "beta-quarter", "--flip", "--limit", "2", "--official"]
    for shift in ([], ["--flip-shift", "0"], ["--flip-shift", "3"]):
        mine, other = tmp_path / "mine.json", tmp_path / "other.json"
        result = run(main, [*small_eval, *options, *shift, "--results", str(mine)])
        assert result.exit_code == 0, result.output
        expected = run(lpn, ["eval", str(tiny_path), *small_eval[4:], *options, *shift,
                             "--results", str(other)])  # fmt: skip
        assert expected.exit_code == 0, expected.output
        assert json.loads(mine.read_text()) == json.loads(other.read_text())
        reports = [json.loads(run.stdout) for run in (result, expected)]
        assert reports[0].pop("model") == str(tiny_path)
        assert reports[0].items() <= reports[1].items()
        assert "bias" not in reports[0]


def test_no_nms_keeps_every_detection(tmp_path: Path, small_eval: list[str]) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    found = {"image_id": 5, "category_id": 1, "bbox": [10.0, 10.0, 30.0, 40.0], "score": 0.9}
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps([found, found, found]))
    counts = {}
    for nms in ([], ["--no-nms"]):
        options = ["--detections", str(detections), "--decode", "argmax", *nms]
        results = tmp_path / "results.json"
        command = [*small_eval, *options, "--results", str(results)]
        result = click_testing.CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        counts[bool(nms)] = len(json.loads(results.read_text()))
    assert counts == {False: 1, True: 3}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--official", "--no-nms"], "--official asks for the OKS-NMS that --no-nms forbids"),
        (["--limit", "-3"], "-3 is not in the range x>=0"),
        (["--flip-shift", "-1"], "-1 is not in the range x>=0"),
        (["--flip-shift", "99"], "--flip-shift is 99; wanted less than the heatmaps' width"),
        (["--results", "RESULTS"], "the poses of one decode, but there are 4"),
        (["--decode", "beta", "--results", "none/r.json"], "there is no folder none"),
    ],
)
def test_wrong_eval_options_are_refused(
    tmp_path: Path, small_eval: list[str], options: list[str], words: str
) -> None:
    click_testing = pytest.importorskip("click.testing")
    from lpn_training.cli import main

    options = [str(tmp_path / "r.json") if word == "RESULTS" else word for word in options]
    result = click_testing.CliRunner().invoke(main, [*small_eval, *options])
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
