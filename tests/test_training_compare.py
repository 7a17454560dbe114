"""AP on validation crops, the paired bootstrap, and the tables and plots of runs."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")
pytest.importorskip("pycocotools")

from click.testing import CliRunner  # noqa: E402
from lpn_training.checkpoint import write_whole  # noqa: E402
from lpn_training.cli import main  # noqa: E402
from lpn_training.compare import compare  # noqa: E402
from lpn_training.config import ModelConfig  # noqa: E402
from lpn_training.data.crops import CropSet, load_crops  # noqa: E402
from lpn_training.data.keypoints import COCO17  # noqa: E402
from lpn_training.models.build import build_model  # noqa: E402
from lpn_training.runlog import RunLog  # noqa: E402
from lpn_training.validation import (  # noqa: E402
    PersonScores,
    average_precision,
    flip_average,
    score_persons,
)
from training_runs import one_thread, synthetic_shard, tiny_config  # noqa: E402

HEIGHT, WIDTH = 64, 48


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def made_up_crops(persons: int, seed: int) -> CropSet:
    """Black crops; boxes and keypoints at random, some joints and some persons unlabelled."""
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(20, 60, (persons, 2)), rng.uniform(60, 120, (persons, 2))
    keypoints = corner[:, None] + rng.uniform(0, 1, (persons, 17, 2)) * size[:, None]
    labelled = rng.uniform(size=(persons, 17)) < 0.7
    labelled[:2] = False
    return CropSet(
        images=torch.zeros(persons, 240, 200, 3, dtype=torch.uint8),
        sizes=torch.tensor([[240, 200]] * persons, dtype=torch.int32),
        boxes=torch.from_numpy(np.concatenate((corner, size), 1)).float(),
        keypoints=torch.from_numpy(keypoints).float(),
        labelled=torch.from_numpy(labelled),
        areas=torch.from_numpy(size.prod(axis=1) * rng.uniform(0.2, 0.9, persons)).float(),
        sources=torch.zeros(persons, dtype=torch.int64),
        teacher_keypoints=torch.full((persons, 17, 3), torch.nan),
        lots=torch.zeros(persons, dtype=torch.float64),
        source_names=("noise",),
        joints=COCO17,
    )


class Oracle(torch.nn.Module):
    """Draws each person's joints some way off; persons come in order, 64 at a time."""

    def __init__(self, crops: CropSet, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        boxes, points = crops.boxes.double().numpy(), crops.keypoints.double().numpy()
        error = rng.normal(size=points.shape) * rng.uniform(0, 6, (len(points), 1, 1))
        self.predicted = points + error
        self.heights = rng.uniform(0.1, 1.0, points.shape[:2])
        centre = boxes[:, :2] + boxes[:, 2:] / 2
        padded = np.maximum(boxes[:, 2], boxes[:, 3] * 0.75) * 1.25
        places = (self.predicted - centre[:, None]) * (12 / padded[:, None, None]) + (6, 8)
        ys, xs = np.mgrid[:16, :12]
        squared = (xs - places[..., 0, None, None]) ** 2 + (ys - places[..., 1, None, None]) ** 2
        # Narrow peaks: the decode at beta 160 is the exact place to a fraction of a pixel.
        self.heatmaps = torch.from_numpy(self.heights[..., None, None] * np.exp(-squared / 8))
        self.at = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        part = self.heatmaps[self.at : self.at + len(inputs)].float()
        self.at += len(inputs)
        return part


def coco_ap(crops: CropSet, predicted: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """pycocotools with one image per person."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    points = torch.cat((crops.keypoints, 2 * crops.labelled[..., None]), -1).double().numpy()
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    areas = crops.areas.double().tolist()
    for index, (box, joints) in enumerate(zip(crops.boxes.tolist(), points, strict=True)):
        annotations.append({
            "id": index + 1, "image_id": index, "category_id": 1, "iscrowd": 0, "bbox": box,
            "area": areas[index], "keypoints": joints.reshape(-1).tolist(),
            "num_keypoints": int((joints[:, 2] > 0).sum()),
        })  # fmt: skip
        pose = np.concatenate((predicted[index], np.ones((17, 1))), 1).reshape(-1)
        results.append({"image_id": index, "category_id": 1, "keypoints": pose.tolist(),
                        "score": float(scores[index])})  # fmt: skip
    labelled = crops.labelled.any(dim=1).tolist()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": index} for index in range(len(crops))],
            "annotations": annotations, "categories": [{"id": 1}], "info": {},
        }  # fmt: skip
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.imgIds = [index for index, has in enumerate(labelled) if has]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def test_ap_on_crops_equals_pycocotools() -> None:
    """The network's decoded places go into both: the score, the similarity and the AP are ours."""
    crops = made_up_crops(150, 0)
    oracle = Oracle(crops, 1)
    found = score_persons(oracle, crops, ModelConfig(height=HEIGHT, width=WIDTH))
    assert len(found.oks) == 148
    oracle.at = 0
    places = []
    for heatmap in oracle.heatmaps.float().double().numpy():
        flat = 160 * (heatmap.reshape(17, -1) - heatmap.reshape(17, -1).max(1, keepdims=True))
        weights = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
        ys, xs = np.mgrid[:16, :12]
        places.append(np.stack((weights @ xs.ravel(), weights @ ys.ravel()), 1))
    boxes = crops.boxes.double().numpy()
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    padded = np.maximum(boxes[:, 2], boxes[:, 3] * 0.75) * 1.25
    predicted = (np.stack(places) - (6, 8)) * (padded[:, None, None] / 12) + centre[:, None]
    tops = oracle.heatmaps.float().double().numpy().max(axis=(2, 3))
    scores = [row[row > 0.2].mean() if (row > 0.2).any() else 0.0 for row in tops]
    expected = coco_ap(crops, predicted, np.array(scores))
    assert 0.05 < expected < 0.95
    assert found.ap == pytest.approx(expected, abs=1e-9)


def test_flip_average_mirrors_back_swaps_and_shifts() -> None:
    crops = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    mirror = (1, 0, 2)
    found = flip_average(torch.nn.Identity(), crops, mirror).numpy()
    plain = crops.numpy()
    # What an identity gives for the mirrored crop, mirrored back, is the crop with swapped joints.
    swapped = plain[:, list(mirror)]
    shifted = np.concatenate((swapped[..., :1], swapped[..., :-1]), axis=3)
    assert np.allclose(found, (plain + shifted) / 2, atol=1e-7)


def test_no_labelled_crop_is_an_error() -> None:
    crops = made_up_crops(2, 0)
    with pytest.raises(ValueError, match="none of 2 validation crops"):
        score_persons(Oracle(crops, 0), crops, ModelConfig(height=HEIGHT, width=WIDTH))


def test_counts_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    oks, scores = rng.uniform(0.3, 1, 60), rng.uniform(0, 1, 60)
    for _ in range(20):
        counts = rng.multinomial(60, np.full(60, 1 / 60))
        drawn = np.repeat(np.arange(60), counts)
        expected = average_precision(oks[drawn], scores[drawn])
        assert average_precision(oks, scores, counts.astype(float)) == pytest.approx(expected)


def test_bootstrap_is_paired_and_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    base = PersonScores(rng.uniform(0.4, 1, 200), rng.uniform(0, 1, 200))
    # Better by a little for everyone: tiny beside the spread over persons, sure when paired.
    better = PersonScores(np.minimum(base.oks + 0.02, 1), base.scores)
    other = PersonScores(rng.permutation(base.oks), base.scores)
    rows = compare({"a": base, "same": base, "better": better, "other": other}, 300, 0)
    assert [row.name for row in rows] == ["a", "same", "better", "other"]
    same = rows[1]
    assert (same.ap.difference, same.ap.low, same.ap.high) == (0.0, 0.0, 0.0)
    assert (same.oks.difference, same.oks.low, same.oks.high) == (0.0, 0.0, 0.0)
    for figure in (rows[2].ap, rows[2].oks):
        assert 0 < figure.low < figure.difference < figure.high
    assert rows[3].ap.low < 0 < rows[3].ap.high
    # The spread of a single network's AP, by brute force, is far wider than the paired interval.
    spread = []
    for _ in range(300):
        drawn = rng.integers(0, 200, 200)
        spread.append(average_precision(base.oks[drawn], base.scores[drawn]))
    assert rows[2].ap.high - rows[2].ap.low < 0.5 * np.ptp(np.quantile(spread, (0.025, 0.975)))
    with pytest.raises(ValueError, match=r"\[199, 200\] persons"):
        compare({"a": base, "b": PersonScores(base.oks[1:], base.scores[1:])}, 10, 0)


def test_bootstrap_interval_equals_brute_force() -> None:
    rng = np.random.default_rng(3)
    one = PersonScores(rng.uniform(0.4, 1, 80), rng.uniform(0, 1, 80))
    two = PersonScores(rng.uniform(0.4, 1, 80), rng.uniform(0, 1, 80))
    row = compare({"one": one, "two": two}, 200, 7)[1]
    counts = np.random.default_rng(7).multinomial(80, np.full(80, 1 / 80), size=200)
    aps, similarities = [], []
    for drawn in (np.repeat(np.arange(80), line) for line in counts):
        first = average_precision(one.oks[drawn], one.scores[drawn])
        aps.append(average_precision(two.oks[drawn], two.scores[drawn]) - first)
        similarities.append(two.oks[drawn].mean() - one.oks[drawn].mean())
    for figure, differences in ((row.ap, aps), (row.oks, similarities)):
        expected = np.quantile(differences, (0.025, 0.975))
        assert (figure.low, figure.high) == pytest.approx(expected)
    assert row.oks.value == pytest.approx(two.oks.mean())
    assert row.oks.difference == pytest.approx(two.oks.mean() - one.oks.mean())


def test_compare_command(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    shard = synthetic_shard(tmp_path, "noise")
    config = tiny_config(shard)
    for seed in (0, 1):
        torch.manual_seed(seed)
        content = {"model": build_model(config).state_dict(), "config": config.to_dict()}
        write_whole(tmp_path / f"{seed}.pt", content)
    picture = tmp_path / "compare.png"
    one, two = (str(tmp_path / f"{seed}.pt") for seed in (0, 1))
    options = ["--bootstrap", "20", "--flip", "--plot", str(picture)]
    result = CliRunner().invoke(main, ["compare", one, two, one, *options])
    assert result.exit_code == 0, result.output
    lines = result.output.strip().splitlines()
    assert lines[0] == (
        "| checkpoint | AP | above the first (95%) | mean OKS | above the first (95%) |"
    )
    assert lines[2].startswith(f"| {one} | ")
    assert lines[3].startswith(f"| {two} | ")
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(main, ["compare", one, two, "--bootstrap", "20", "--json"])
    rows = json.loads(result.output)
    assert [row["name"] for row in rows] == [one, two]
    assert rows[0]["ap"]["difference"] == rows[0]["oks"]["difference"] == 0
    crops = load_crops([shard], workers=0)
    model = build_model(config)
    model.load_state_dict(torch.load(two, weights_only=True)["model"])
    expected = score_persons(model.eval(), crops, config.model)
    assert rows[1]["ap"]["value"] == expected.ap
    assert rows[1]["oks"]["value"] == expected.oks.mean()


def test_plot_and_stages_commands(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    log = RunLog(tmp_path, 0)
    for step in range(1, 9):
        stage = step // 5
        line = {"step": step, "stage": stage, "label": 1 / step, "teacher": 0.0, "lr": 1e-3}
        log.write(line)
    log.write({"step": 8, "stage": 1, "ap": 0.4})
    records = [{"stage": 0, "steps": 4, "samples": 16000, "ap": 0.1234, "best_step": 3,
                "improved": True}]  # fmt: skip
    (tmp_path / "stages.json").write_text(json.dumps(records))
    picture = tmp_path / "run.svg"
    result = CliRunner().invoke(main, ["plot", str(tmp_path), "-o", str(picture)])
    assert result.exit_code == 0, result.output
    assert "<svg" in picture.read_text()
    result = CliRunner().invoke(main, ["stages", str(tmp_path)])
    assert "| 0 | 16,000 | 0.1234 | 3 | yes |" in result.output
    result = CliRunner().invoke(main, ["stages", str(tmp_path), "--json"])
    assert json.loads(result.output) == records
    empty = tmp_path / "empty"
    empty.mkdir()
    for command in (["plot", "-o", str(picture)], ["stages"]):
        result = CliRunner().invoke(main, [*command, str(empty)])
        assert result.exit_code == 2
        assert "empty" in result.output
