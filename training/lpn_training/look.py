"""What training sees and what a network answers, as sheets of drawn crops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lpn_core.estimator import bundled_models
from lpn_core.image.draw import draw_skeletons
from lpn_core.keypoints import KeypointSet
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD, SCORE_THRESHOLD
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from lpn_training.batches import STRIDE, Batch, BatchSource
from lpn_training.config import Config
from lpn_training.data.augment import map_keypoints, plain_maps, sample_views
from lpn_training.data.crops import CropSet
from lpn_training.data.keypoints import joint_set_of
from lpn_training.data.sheet import save_sheet
from lpn_training.evaluate import Candidate, core_candidate, open_candidate
from lpn_training.validation import (
    person_scores,
    predict_persons,
    validation_crops,
)

COLUMNS = 8
# Of a drawn view in pixels, and of the line of text below it.
CELL_HEIGHT = 256
CAPTION = 14
RING = 4
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class SeenView:
    """An augmented view as training sees it.

    Attributes:
        picture: Name of the picture that it was cut from.
        labelled: Joints whose label counts.
        taught: Joints without one that the teacher sees.
    """

    picture: str
    labelled: int
    taught: int


@dataclass(frozen=True)
class Prediction:
    """A person that a network was asked about.

    Attributes:
        picture: Name of the picture.
        oks: Similarity to the labels.
        score: The mean of the joints' scores above 0.2.
    """

    picture: str
    oks: float
    score: float


def open_batches(config: Config) -> BatchSource:
    """The batches of a run, decoding no more crops than are drawn."""
    data = replace(config.data, storage="streamed", workers=0)
    return BatchSource(replace(config, data=data), torch.device("cpu"))


def draw_views(batches: BatchSource, path: Path, count: int) -> list[SeenView]:
    """Draw the first views of a run, with the joints that their targets have.

    Joints with a label make the skeleton; rings are the teacher's answers for others.

    Args:
        batches: Of the run.
        path: Of the picture to write; its ending names the format.
        count: How many views.
    """
    train = batches.config.train
    joints = batches.config.model.keypoint_set
    cells: list[Image.Image] = []
    found = []
    with tqdm(total=count, desc="views", unit="crop", disable=None) as bar:
        turn = 0
        while len(cells) < count:
            step, part = divmod(turn, train.accumulate)
            batch = batches.draw(step, turn=part)
            places = batches.sampler.choose(step, train.step_size)[part :: train.accumulate]
            for index, place in enumerate(places.tolist()[: count - len(cells)]):
                cell, seen = _seen_view(batch, index, batches.crops.pictures[place], joints)
                cells.append(cell)
                found.append(seen)
                bar.update()
            turn += 1
    save_sheet(cells, path, COLUMNS)
    return found


def _seen_view(
    batch: Batch, index: int, picture: str, joints: KeypointSet
) -> tuple[Image.Image, SeenView]:
    """Drawn from the heatmaps that the loss compares with, not from what they were made of."""
    labelled = batch.weights[index] > 0
    points, _ = _peaks(batch.targets[index])
    rings = torch.zeros(0, 2)
    if batch.teacher_heatmaps is not None:
        taught, tops = _peaks(batch.teacher_heatmaps[index].float())
        rings = taught[(tops > SCORE_THRESHOLD) & ~labelled]
    seen = SeenView(picture, int(labelled.sum()), len(rings))
    caption = f"{seen.labelled}/{len(labelled)} {picture}"
    pixels = _pixels(batch.views[index])
    return _cell(pixels, points, labelled.float(), rings, joints, caption), seen


def _peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (K, 2) in view pixels of the maxima of (K, H, W), and these."""
    tops, where = heatmaps.flatten(1).max(dim=1)
    width = heatmaps.shape[2]
    return torch.stack((where % width, where // width), dim=1).float() * STRIDE, tops


def _pixels(view: Tensor) -> npt.NDArray[np.uint8]:
    """(H, W, 3) of a normalised view (3, H, W)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return _bytes(view * std + mean)


def _bytes(view: Tensor) -> npt.NDArray[np.uint8]:
    """(H, W, 3) of a view (3, H, W) in 0..1."""
    shown = (view * 255).round().clamp(0, 255).byte()
    return np.ascontiguousarray(shown.permute(1, 2, 0).numpy())


def _cell(
    pixels: npt.NDArray[np.uint8],
    points: Tensor,
    scores: Tensor,
    rings: Tensor,
    joints: KeypointSet,
    caption: str,
) -> Image.Image:
    """A view with a skeleton (K, 2), rings (R, 2) and a line of text."""
    height, width = pixels.shape[:2]
    size = (round(width * CELL_HEIGHT / height), CELL_HEIGHT)
    scale = CELL_HEIGHT / height
    canvas = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    placed = (points[None] + 0.5) * scale - 0.5
    draw_skeletons(
        canvas,
        placed.numpy().astype(np.float32),
        scores[None].numpy().astype(np.float32),
        np.array([[0, 0, *size]], np.float64),
        joints,
        threshold=SCORE_THRESHOLD,
        order="rgb",
    )
    cell = Image.new("RGB", (size[0], size[1] + CAPTION))
    cell.paste(Image.fromarray(canvas))
    draw = ImageDraw.Draw(cell)
    for x, y in ((rings + 0.5) * scale - 0.5).tolist():
        draw.ellipse((x - RING, y - RING, x + RING, y + RING), outline=WHITE)
    draw.rectangle((0, size[1], size[0], size[1] + CAPTION), fill=0)
    draw.text((2, size[1] + 1), _fitting(draw, caption, size[0] - 4), fill=WHITE)
    return cell


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """As much of a text's end as is not wider, in ASCII, which every font has."""
    shown = text.encode("ascii", "replace").decode()
    while draw.textlength(shown) > width:
        text = text[1:]
        shown = ".." + text.encode("ascii", "replace").decode()
    return shown


# --- predictions ---------------------------------------------------------------------------------


def open_network(source: str) -> Candidate:
    """A checkpoint, a model file, or a bundled model by its name.

    Raises:
        ValueError: Not one of these.
        FileNotFoundError: No such file or bundled model.
    """
    if source in bundled_models() or source.endswith(".safetensors"):
        return core_candidate(source)
    if not os.path.exists(source):  # noqa: PTH110
        raise FileNotFoundError(
            f"no weights {source!r}: neither a file nor one of the bundled models "
            f"({', '.join(bundled_models()) or 'none'})"
        )
    return open_candidate(Path(source))


def people_to_predict(batches: BatchSource) -> CropSet:
    """Those by whom the run chooses its weights: held out, or of the validation shards.

    Raises:
        ValueError: There is nobody.
    """
    if not batches.config.data.validates:
        raise ValueError(
            "nobody is kept from training: set data.held_out, or name data.validation_shards"
        )
    crops = validation_crops(batches)[""]
    return crops.part(crops.labelled.any(dim=1).nonzero()[:, 0])


def check_joints(candidate: Candidate, crops: CropSet) -> None:
    """Hold a network to the joints of crops.

    Raises:
        ValueError: It has others.
    """
    if crops.joints != joint_set_of(candidate.keypoint_set):
        raise ValueError(
            f"the network predicts {candidate.keypoint_set.name!r}; the crops hold "
            f"{crops.joints.name!r}"
        )


def draw_predictions(
    candidate: Candidate, crops: CropSet, path: Path, count: int, *, flip: bool = False
) -> list[Prediction]:
    """Draw a network's joints, worst first, with rings where the labels are.

    Args:
        candidate: The network.
        crops: Labelled people, of the network's joints.
        path: Of the picture to write; its ending names the format.
        count: How many of the worst.
        flip: Average with the mirrored view.

    Returns:
        All people, worst first.
    """
    joints = candidate.keypoint_set
    size = (candidate.spec.height, candidate.spec.width)
    places, tops = predict_persons(_torch_network(candidate), crops, size, flip=flip, progress=_bar)
    found = person_scores(crops, places, tops)
    order = np.argsort(found.oks, kind="stable").tolist()
    cells = []
    for index in order[:count]:
        part = slice(index, index + 1)
        maps = plain_maps(crops.boxes[part], *size)
        view = sample_views(crops.images[part], maps, *size)[0]
        points, labels = (
            map_keypoints(joints_of[part], maps, crops.joints)[0]
            for joints_of in (places, crops.keypoints)
        )
        caption = f"OKS {found.oks[index]:.2f} {crops.pictures[index]}"
        rings = labels[crops.labelled[index]]
        cells.append(_cell(_bytes(view), points, tops[index], rings, joints, caption))
    save_sheet(cells, path, COLUMNS)
    return [
        Prediction(crops.pictures[index], float(found.oks[index]), float(found.scores[index]))
        for index in order
    ]


def _torch_network(candidate: Candidate) -> Callable[[Tensor], Tensor]:
    """From training's normalised RGB views to a candidate's heatmaps, both NCHW."""
    spec = candidate.spec
    order = slice(None, None, -1 if spec.channel_order == "bgr" else 1)
    given = np.array((IMAGENET_MEAN, IMAGENET_STD), np.float32)
    wanted = np.array((spec.mean, spec.std), np.float32)

    def run(inputs: Tensor) -> Tensor:
        views = inputs.permute(0, 2, 3, 1).numpy()
        pixels = (views * given[1] + given[0])[..., order]
        crops = (pixels - wanted[0]) / wanted[1]
        heatmaps = candidate.network(np.ascontiguousarray(crops, np.float32))
        return torch.from_numpy(np.ascontiguousarray(heatmaps)).permute(0, 3, 1, 2)

    return run


def _bar(batches: range) -> Iterable[int]:
    bar: Iterable[int] = tqdm(batches, desc="predictions", unit="batch", disable=None)
    return bar
