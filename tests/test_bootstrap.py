"""Bootstrap intervals: resampled metrics against those of data sets that really hold the copies."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from lpn_core import evaluation
from lpn_core.model.spec import InputSpec
from lpn_core.poses import Poses
from numpy.typing import NDArray

pytest.importorskip("pycocotools")

Record = dict[str, Any]
SPEC = InputSpec(channel_order="rgb")


def _data(images: int = 9, seed: int = 0) -> tuple[Record, list[Record]]:
    """People of all sizes, and results of them that are right, so-so, wrong, twice or not there."""
    generator = np.random.default_rng(seed)
    annotations: list[Record] = []
    results: list[Record] = []
    ids = generator.permutation(100)[:images].tolist()
    # The last image shows nobody, the first has no results.
    for image in ids[:-1]:
        for _ in range(generator.integers(1, 4)):
            side = generator.choice([20.0, 60.0, 200.0])
            joints = generator.uniform(0, side, (17, 2))
            visible = (generator.uniform(size=(17, 1)) < 0.8) * 2.0
            keypoints = np.hstack([joints, visible]).reshape(-1).tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": 1,
                 "iscrowd": int(generator.uniform() < 0.1), "area": side * side,
                 "bbox": [0.0, 0.0, side, side], "keypoints": keypoints,
                 "num_keypoints": int((visible > 0).sum())}
            )  # fmt: skip
            for _ in range(generator.integers(0, 3) if image != ids[0] else 0):
                moved = joints + generator.normal(0, generator.choice([0.02, 0.1, 0.5]) * side / 2,
                                                  (17, 2))  # fmt: skip
                found = np.hstack([moved, np.ones((17, 1))]).reshape(-1).tolist()
                results.append({"image_id": image, "category_id": 1, "keypoints": found,
                                "score": float(generator.uniform())})  # fmt: skip
    content = {
        "images": [{"id": image, "file_name": f"{image}.png"} for image in ids],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return content, results


def _copied(
    content: Record, results: Sequence[Record], counts: NDArray[np.int64]
) -> tuple[Record, list[Record]]:
    """The data set that holds each image so many times, under ids of their own."""
    images: list[Record] = []
    annotations: list[Record] = []
    found: list[Record] = []
    for image, count in zip(content["images"], counts, strict=True):
        for _ in range(count):
            number = len(images) + 1
            images.append({**image, "id": number})
            for entry in content["annotations"]:
                if entry["image_id"] == image["id"]:
                    annotations.append({**entry, "id": len(annotations) + 1, "image_id": number})
            found += [
                {**entry, "image_id": number}
                for entry in results
                if entry["image_id"] == image["id"]
            ]
    return {**content, "images": images, "annotations": annotations}, found


@pytest.mark.parametrize("seed", range(3))
def test_resampled_precision_is_that_of_copies(seed: int) -> None:
    content, results = _data(seed=seed)
    ids = [image["id"] for image in content["images"]]
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=12)
    single = np.eye(len(ids), dtype=np.int64)
    counts = np.concatenate([np.ones((1, len(ids)), np.int64), drawn, single])
    before = copy.deepcopy((content, results))
    found = evaluation.resampled_precision(content, results, ids, counts=counts)
    assert (content, results) == before
    assert tuple(found) == evaluation.METRICS
    plain = evaluation.average_precision(content, results)
    assert 0.05 < plain["AP"] < 0.95
    for row, count in enumerate(counts):
        expected = evaluation.average_precision(*_copied(content, results, count))
        numbers = {name: values[row] for name, values in found.items()}
        # Sums of a thousand terms of at most 1.
        assert numbers == pytest.approx(expected, abs=1e-12)


def test_no_results_and_nobody() -> None:
    content, _ = _data()
    ids = [image["id"] for image in content["images"]]
    nobody = np.zeros((1, len(ids)), np.int64)
    nobody[0, -1] = 1
    counts = np.concatenate([np.ones((1, len(ids)), np.int64), nobody])
    found = evaluation.resampled_precision(content, [], ids, counts=counts)
    assert found["AP"].tolist() == [0, -1]
    assert found["AR"].tolist() == [0, -1]


class _Heads:
    """A data set whose only number is the mean of a value per image."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = np.array(values)

    def __len__(self) -> int:
        return len(self.values)

    def resampled(
        self,
        poses: Sequence[Poses],  # noqa: ARG002
        spec: InputSpec,  # noqa: ARG002
        counts: NDArray[np.int64],
        *,
        nms: bool | None = None,  # noqa: ARG002
    ) -> dict[str, NDArray[np.float64]]:
        assert (counts.sum(axis=1) == len(self)).all()
        means = counts @ self.values / len(self)
        return {"mean": means, "never": np.full(len(counts), -1.0), "often": np.where(
            means > 0.2, means, -1.0)}  # fmt: skip


def test_intervals_are_the_percentiles_of_the_draws() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    people = _Heads([1.0] * 30 + [0.0] * 70)
    found = evaluation.intervals(people, [], SPEC, resamples=20_000)
    # The mean of drawn ones is binomial: its percentiles are known. 20,000 draws leave the two ends
    # within one step of them.
    wanted = scipy_stats.binom(100, 0.3).ppf([0.025, 0.975]) / 100
    assert found["mean"] == pytest.approx(wanted, abs=0.0101)
    assert found["never"] == (-1.0, -1.0)
    assert found["often"][0] > 0.2, "draws that lack a number do not count as -1"
    again = evaluation.intervals(people, [], SPEC, resamples=20_000)
    assert again == found
    few = [evaluation.intervals(people, [], SPEC, resamples=3, seed=seed) for seed in range(5)]
    assert any(found != few[0] for found in few)
    with pytest.raises(ValueError, match="resamples is 0; wanted at least 1"):
        evaluation.intervals(people, [], SPEC, resamples=0)
