"""The stick figures through an independent float64 pipeline, and an LPN-50 that finds their joints.

The network is random but for its last layer, which least squares fit to the figures and their
mirror images: what it finds depends on every pixel and weight, and is right more often than not.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import reference
from figures import write_figures
from networks import Network, State, random_state
from numpy.typing import NDArray
from reference_network import lpn

HEIGHT, WIDTH = 128, 96
GRID = (HEIGHT // 4, WIDTH // 4)
NETWORK = Network(50, "gc")
PAIRS = [(left, left + 1) for left in range(1, 17, 2)]
EXCHANGED = [0, *(joint for left, right in PAIRS for joint in (right, left))]
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Figures:
    """The data set on disk, the network's weights, and its heatmaps (P, K, h, w) in float64."""

    annotations: Path
    state: State
    centres: NDArray[np.float64]
    sizes: NDArray[np.float64]
    heatmaps: NDArray[np.float64]
    mirrored: NDArray[np.float64]

    @property
    def people(self) -> list[dict[str, Any]]:
        people: list[dict[str, Any]] = json.loads(self.annotations.read_text())["annotations"]
        return people

    def find(
        self, *, flip: bool = False, shift: int = 1, kind: str = "soft", quarter: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Joints (P, K, 2) in the images and their scores (P, K)."""
        maps = self.heatmaps
        if flip:
            maps = reference.flip_average(maps, self.mirrored, PAIRS, shift)
        decode = {"soft": lambda x: reference.soft_argmax(x, 160), "argmax": reference.argmax}
        joints, scores = decode[kind](maps)
        if quarter:
            joints = reference.quarter_step(maps, joints)
        centres, sizes = self.centres[:, None], self.sizes[:, None]
        return reference.heatmap_to_image(joints, centres, sizes, GRID[1], GRID[0]), scores

    def results(
        self, joints: NDArray[np.float64], scores: NDArray[np.float64]
    ) -> list[dict[str, Any]]:
        """COCO results: a person's score is the mean of the joints' scores above 0.2."""
        records = []
        for person, points, score in zip(self.people, joints, scores, strict=True):
            counted = score[score > 0.2]
            triples = np.column_stack([points, score])
            records.append(
                {"image_id": person["image_id"], "category_id": 1,
                 "keypoints": triples.reshape(-1).tolist(),
                 "score": float(counted.mean()) if len(counted) else 0.0}
            )  # fmt: skip
        return records

    def statistics(self, results: Sequence[dict[str, Any]]) -> list[float]:
        """pycocotools' ten numbers, AP first."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(self.annotations))
            judge = COCOeval(truth, truth.loadRes(list(results)), "keypoints")
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return [float(value) for value in judge.stats]


def _gaussians(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, h, w, K) with a bell of sigma 1.5 on each joint (P, K, 2)."""
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    squared = (x[..., None] - joints[:, None, None, :, 0]) ** 2
    squared = squared + (y[..., None] - joints[:, None, None, :, 1]) ** 2
    return np.exp(-squared / (2 * 1.5**2))


def make_figures(folder: Path) -> Figures:
    """Draws the data set and fits the network to it."""
    from PIL import Image

    annotations = write_figures(folder)
    people = json.loads(annotations.read_text())["annotations"]
    boxes = np.array([person["bbox"] for person in people])
    centres, sizes = reference.padded_box(boxes, WIDTH / HEIGHT, 1.25)
    crops = []
    for person, matrix in zip(
        people, reference.crop_matrix(centres, sizes, WIDTH, HEIGHT), strict=True
    ):
        pixels = np.asarray(Image.open(folder / f"{person['image_id']}.png"))
        crops.append(reference.bilinear_crop(pixels, matrix, HEIGHT, WIDTH))
    images = (np.stack(crops) / 255 - MEAN) / STD
    images = np.concatenate([images, images[:, :, ::-1]])

    joints = np.array([person["keypoints"] for person in people]).reshape(-1, 17, 3)[..., :2]
    joints = (joints - centres[:, None]) * (GRID[1] / sizes[:, :1, None]) + (12.0, 16.0)
    other = joints[:, EXCHANGED]
    # The mirror image of crop pixel x is W - 1 - x.
    other[..., 0] = (WIDTH - 1) / 4 - other[..., 0]
    wanted = _gaussians(np.concatenate([joints, other])).reshape(-1, 17)

    state = random_state(NETWORK, seed=1)
    open_end = {
        **state,
        "final_layer.weight": np.eye(256, dtype="f4")[:, :, None, None],
        "final_layer.bias": np.zeros(256, "f4"),
    }
    features = lpn(open_end, images, NETWORK.depth, NETWORK.attention)
    rows = np.column_stack([features.reshape(-1, 256), np.ones(len(wanted))])
    fitted = np.linalg.lstsq(rows, wanted, rcond=1e-9)[0].T.astype("f4")
    state["final_layer.weight"] = np.ascontiguousarray(fitted[:, :256, None, None])
    state["final_layer.bias"] = np.ascontiguousarray(fitted[:, 256])
    found = rows @ fitted.T.astype("f8")
    maps = found.reshape(2, len(people), *GRID, 17).transpose(0, 1, 4, 2, 3)
    return Figures(annotations, state, centres, sizes, maps[0], maps[1])
