"""What packing does to crops, judged by the bundled network: the table of docs/studies.md.

    python docs/studies/packed_crops.py person_keypoints_val2017.json val2017 [--flip]

Every way of making a person's crop shows the same region; poses are compared in image pixels.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lpn_core
import numpy as np
import numpy.typing as npt
import torch
from lpn_core import Model, preprocess
from lpn_core.evaluation import find_image, person_scores
from lpn_core.flip import average_flipped, mirror_crops
from lpn_core.image.decode import decode
from lpn_core.image.load import load_image
from lpn_core.keypoints import COCO17
from lpn_core.model.spec import PADDING
from lpn_training.compare import compare
from lpn_training.data.annotations import Person, coco_persons, split_of
from lpn_training.data.augment import normalise, plain_maps, sample_views
from lpn_training.data.pack import PackOptions, crop_person
from lpn_training.validation import PersonScores, keypoint_similarity
from PIL import Image

Crops = npt.NDArray[np.float32]
OPTIONS = PackOptions("study")
# So large an input that no crop is shrunk.
WHOLE = PackOptions("study", height=64 * OPTIONS.height, width=64 * OPTIONS.width)
GROUPS = {"all": 0.0, "shrunk": 1.0, "shrunk by more than 1.5": 1.5}


def engine_crop(image: Image.Image, person: Person, model: Model) -> Crops:
    """As the engine cuts it: sampled once, without antialiasing."""
    where = preprocess.regions(np.array([person.box]), model.input)
    return preprocess.crop(np.asarray(image), "rgb", where, model.input)


def packed_crop(
    image: Image.Image, person: Person, model: Model, *, antialias: bool, quality: int | None
) -> Crops:
    """As training sees it: cut, shrunk, encoded (None: not at all), sampled from that."""
    crop, box, _ = crop_person(image, person, OPTIONS if antialias else WHOLE)
    if not antialias:
        shrink = min(1.0, OPTIONS.largest[0] / crop.width, OPTIONS.largest[1] / crop.height)
        size = (max(1, round(crop.width * shrink)), max(1, round(crop.height * shrink)))
        sx, sy = crop.width / size[0], crop.height / size[1]
        form = Image.Transform.AFFINE
        crop = crop.transform(size, form, (sx, 0, 0, 0, sy, 0), Image.Resampling.BILINEAR)
        box = [(box[0] + 0.5) / sx - 0.5, (box[1] + 0.5) / sy - 0.5, box[2] / sx, box[3] / sy]
    if quality is not None:
        encoded = io.BytesIO()
        crop.save(encoded, "webp", quality=quality)
        crop = Image.open(encoded).convert("RGB")
    height, width = model.input.height, model.input.width
    maps = plain_maps(torch.tensor([box]), height, width)
    views = normalise(sample_views(torch.tensor(np.array(crop))[None], maps, height, width))
    return np.ascontiguousarray(views.permute(0, 2, 3, 1).numpy())


WAYS: dict[str, Callable[[Image.Image, Person, Model], Crops]] = {
    "engine": engine_crop,
    "antialiased": partial(packed_crop, antialias=True, quality=None),
    "not antialiased": partial(packed_crop, antialias=False, quality=None),
    "antialiased, WebP 80": partial(packed_crop, antialias=True, quality=80),
    "not antialiased, WebP 80": partial(packed_crop, antialias=False, quality=80),
    "antialiased, WebP 90": partial(packed_crop, antialias=True, quality=90),
    "antialiased, WebP 95": partial(packed_crop, antialias=True, quality=95),
}


def judge(crops: Crops, person: Person, model: Model, *, flip: bool) -> tuple[float, float]:
    """OKS and score of the pose that the model finds in a person's crop."""
    heatmaps = model(crops)
    if flip:
        mirrored = model(mirror_crops(crops))
        heatmaps = average_flipped(heatmaps, mirrored, COCO17, shift=model.decode.flip_shift)
    places, scores = decode(heatmaps, model.decode, layout="nhwc")
    where = preprocess.regions(np.array([person.box]), model.input)
    found = torch.tensor(where.to_image(places, *heatmaps.shape[1:3])).double()
    truth = torch.tensor(person.keypoints)[None]
    area = torch.tensor([person.area], dtype=torch.float64)
    sigmas = torch.tensor(COCO17.sigmas, dtype=torch.float64)
    oks = keypoint_similarity(found, truth[..., :2], truth[..., 2] > 0, area, sigmas)
    return float(oks), float(person_scores(scores, np.ones(1))[0])


def main() -> None:
    """Print a table for each group of persons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--flip", action="store_true")
    options = parser.parse_args()
    model = lpn_core.load("lpn50").model
    everyone = coco_persons(options.annotations, "study")
    persons = [p for p in everyone if p.keypoints[:, 2].any() and p.area]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for person in persons:
        place = find_image(options.images, person.image, split=split_of(options.annotations))
        image = Image.fromarray(load_image(place, exif=False)[0])
        for name, way in WAYS.items():
            found[name].append(judge(way(image, person, model), person, model, flip=options.flip))
    sides = np.array([max(p.box[2], p.box[3] * OPTIONS.width / OPTIONS.height) for p in persons])
    shrinks = sides * PADDING / OPTIONS.width
    for group, least in GROUPS.items():
        chosen = shrinks > least
        print(f"{group}: {chosen.sum()} persons")
        numbers = {name: np.array(rows)[chosen].T for name, rows in found.items()}
        for row in compare({name: PersonScores(*pair) for name, pair in numbers.items()}, 2000, 0):
            for figure in (row.ap, row.oks):
                interval = f"{figure.difference:+.4f} ({figure.low:+.4f} .. {figure.high:+.4f})"
                print(f"  {row.name:26} {figure.value:.4f} {interval}")


if __name__ == "__main__":
    main()
