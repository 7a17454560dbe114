"""The poses of a data set: crops in batches across images, one run for any number of decodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lpn_core._checks import check_flag, check_float32, check_int, isa_name
from lpn_core.evaluation.coco import CocoPeople, write_results
from lpn_core.evaluation.images import ImagePeople
from lpn_core.image import regions
from lpn_core.image.decode import Decoded, decode
from lpn_core.image.flip import average_flipped, mirror_crops
from lpn_core.image.load import load_image
from lpn_core.keypoints import KeypointSet
from lpn_core.model.spec import BETA, DecodeSpec, InputSpec
from lpn_core.poses import Poses

# Normalised crops (N, H, W, 3) float32 in the network's channel order to heatmaps
# (N, H / 4, W / 4, K) float32: an ``lpn_core.Model``, or any other network in such a face.
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
# Wraps the images that are gone through, to show how far it is.
Progress = Callable[[Sequence[ImagePeople]], Iterable[ImagePeople]]

# Kinds of decode by name; beta-Soft-Argmax with or without the step of a quarter pixel.
DECODES = ("argmax", "argmax-quarter", "beta", "beta-quarter")
BATCH = 32


class People(Protocol):
    """A data set: whom to find, and how good what was found is."""

    @property
    def images(self) -> Sequence[ImagePeople]:
        """The images and the boxes of the people in them."""

    @property
    def keypoint_set(self) -> KeypointSet:
        """The joints to find."""

    def metrics(
        self, poses: Sequence[Poses], spec: InputSpec, *, nms: bool | None = None
    ) -> dict[str, float]:
        """Named numbers for the poses, one entry per image."""


def decodes_of(
    kinds: Iterable[str] = DECODES, *, betas: Sequence[float] = (BETA,), flip_shift: int = 1
) -> dict[str, DecodeSpec]:
    """Decodes by name.

    Args:
        kinds: of ``DECODES``.
        betas: of the beta-Soft-Argmax. With several, as in the LPN paper's ablation, the names
            tell them apart: "beta 40", "beta 40-quarter", ...
        flip_shift: of the flip test, in heatmap pixels.

    Raises:
        ValueError: an unknown kind, or a beta that is not positive.
    """
    if isinstance(kinds, str):
        raise TypeError(f"kinds is {kinds!r}; wanted several, as in [{kinds!r}]")
    if not isinstance(betas, Sequence) or isinstance(betas, str):
        raise TypeError(f"betas is {betas!r}; wanted several, as in [160.0]")
    betas = [check_float32(beta, "beta") for beta in betas]
    flip_shift = check_int(flip_shift, "flip_shift")
    found: dict[str, DecodeSpec] = {}
    for kind in kinds:
        if kind not in DECODES:
            raise ValueError(f"decode is {kind!r}; wanted one of {', '.join(DECODES)}")
        base, _, step = kind.partition("-")
        if base == "argmax":
            found[kind] = DecodeSpec(
                kind="argmax", beta=None, quarter_step=bool(step), flip_shift=flip_shift
            )
            continue
        for beta in betas:
            name = kind if len(betas) == 1 else kind.replace("beta", f"beta {beta:g}")
            found[name] = DecodeSpec(beta=beta, quarter_step=bool(step), flip_shift=flip_shift)
    return found


def evaluate(
    people: People,
    network: Network,
    spec: InputSpec,
    *,
    decodes: Mapping[str, DecodeSpec] | None = None,
    flip: bool = False,
    nms: bool | None = None,
    batch: int = BATCH,
    threads: int = 1,
    isa: str | None = None,
    progress: Progress | None = None,
    results: Path | None = None,
) -> dict[str, dict[str, float]]:
    """The data set's metric of a network, for each of several decodes of the same heatmaps.

    Args:
        people: a ``CocoPeople`` or ``MpiiPeople``.
        nms: OKS-NMS for COCO's; None for the custom, only with a detector's boxes: true ones have
            no duplicates, and it would only take away one of two people who stand close.
        network: and all else: see :func:`find_poses`.
        results: COCO results to write as well, of ``CocoPeople`` and a single decode.

    Returns:
        For each decode its numbers by name.

    Raises:
        ValueError: results of another data set's people or of several decodes, or see
            :func:`find_poses`.
    """
    decodes = decodes_of() if decodes is None else decodes
    _check_results(people, decodes, results)
    found = find_poses(
        people.images,
        network,
        spec,
        people.keypoint_set,
        decodes=decodes,
        flip=flip,
        batch=batch,
        threads=threads,
        isa=isa,
        progress=progress,
    )
    return score(people, found, spec, nms=nms, results=results)


def score(
    people: People,
    found: Mapping[str, Sequence[Poses]],
    spec: InputSpec,
    *,
    nms: bool | None = None,
    results: Path | None = None,
) -> dict[str, dict[str, float]]:
    """The data set's metric of poses, for each of several decodes.

    Args:
        people: and all else: see :func:`evaluate`.
        found: what :func:`find_poses` gives.

    Raises:
        ValueError: results of another data set's people or of several decodes.
        OSError: they cannot be written.
    """
    _check_results(people, found, results)
    if results is not None and isinstance(people, CocoPeople):
        (poses,) = found.values()
        write_results(results, people.results(poses, spec, nms=nms))
    return {name: people.metrics(poses, spec, nms=nms) for name, poses in found.items()}


def _check_results(people: People, decodes: Collection[str], results: Path | None) -> None:
    if results is not None and not (isinstance(people, CocoPeople) and len(decodes) == 1):
        raise ValueError("results are written for CocoPeople and one decode")


def find_poses(
    images: Sequence[ImagePeople],
    network: Network,
    spec: InputSpec,
    keypoint_set: KeypointSet,
    *,
    decodes: Mapping[str, DecodeSpec],
    flip: bool = False,
    batch: int = BATCH,
    threads: int = 1,
    isa: str | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Poses]]:
    """The poses of all people of a data set.

    Args:
        images: with the people's boxes.
        network: normalised crops to heatmaps.
        spec: how its crops are made.
        keypoint_set: the joints of the heatmaps.
        decodes: how heatmaps become poses, by name.
        flip: averages with the mirrored crops; each decode has its own flip shift.
        batch: people per run of the network, across images.
        threads: that crop.
        isa: instruction set of crop and decode; None for the best one.
        progress: called with the images, returns what goes through them.

    Returns:
        For each decode one entry per image, each with one pose per box.

    Raises:
        ValueError: an image that cannot be read or is not of the size that the annotations say.
        FileNotFoundError: an image is missing.
    """
    flip = check_flag(flip, "flip")
    batch, threads = check_int(batch, "batch"), check_int(threads, "threads")
    isa_name(isa)
    if batch < 1:
        raise ValueError(f"batch is {batch}; wanted at least 1")
    boxes = np.concatenate([np.zeros((0, 4)), *(image.boxes for image in images)])
    where = regions.regions(boxes, spec)
    joints = len(keypoint_set)
    coordinates = {name: np.zeros((len(boxes), joints, 2), np.float32) for name in decodes}
    scores = {name: np.zeros((len(boxes), joints), np.float32) for name in decodes}
    start = 0
    shown = images if progress is None else progress(images)
    for crops in _batches(_crops(shown, spec, batch, threads, isa), batch):
        part = slice(start, start + len(crops))
        plain = network(crops)
        mirrored = network(mirror_crops(crops)) if flip else None
        height, width = plain.shape[1:3]
        for name, (places, values) in _decode_all(plain, mirrored, keypoint_set, decodes, isa):
            coordinates[name][part] = where[part].to_image(places, height, width)
            scores[name][part] = values
        start = part.stop
    ends = np.cumsum([len(image.boxes) for image in images], dtype=np.intp)
    parts = [slice(end - len(i.boxes), end) for i, end in zip(images, ends, strict=True)]
    return {
        name: [
            Poses(
                coordinates[name][p],
                scores[name][p],
                image.boxes,
                image.box_scores,
                keypoint_set,
                image.size,
            )
            for image, p in zip(images, parts, strict=True)
        ]
        for name in decodes
    }


def _decode_all(
    plain: NDArray[np.float32],
    mirrored: NDArray[np.float32] | None,
    keypoint_set: KeypointSet,
    decodes: Mapping[str, DecodeSpec],
    isa: str | None,
) -> Iterator[tuple[str, Decoded]]:
    by_shift: dict[int, NDArray[np.float32]] = {}
    for name, how in decodes.items():
        heatmaps = plain
        if mirrored is not None:
            if how.flip_shift not in by_shift:
                by_shift[how.flip_shift] = average_flipped(
                    plain, mirrored, keypoint_set, shift=how.flip_shift
                )
            heatmaps = by_shift[how.flip_shift]
        yield name, decode(heatmaps, how, layout="nhwc", isa=isa)


def _crops(
    images: Iterable[ImagePeople], spec: InputSpec, batch: int, threads: int, isa: str | None
) -> Iterator[NDArray[np.float32]]:
    """The crops of all people in order, at most ``batch`` at a time."""
    for image in images:
        if len(image.boxes) == 0:
            continue
        # COCO's and MPII's annotations ignore EXIF.
        pixels, order = load_image(image.path, exif=False)
        size = (pixels.shape[1], pixels.shape[0])
        if image.size is not None and size != image.size:
            raise ValueError(
                f"{image.path} is {size[0]} x {size[1]} pixels, but the annotations say "
                f"{image.size[0]} x {image.size[1]}: boxes would not fit another version of it"
            )
        where = regions.regions(image.boxes, spec)
        for start in range(0, len(where), batch):
            part = where[start : start + batch]
            yield regions.crop(pixels, order, part, spec, threads=threads, isa=isa)


def _batches(parts: Iterator[NDArray[np.float32]], batch: int) -> Iterator[NDArray[np.float32]]:
    """Regroups arrays along their first axis into ``batch`` rows; the last may have fewer."""
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count >= batch:
            rows = np.concatenate(waiting)
            yield rows[:batch]
            waiting = [rows[batch:]]
            count -= batch
    if count:
        yield np.concatenate(waiting)
