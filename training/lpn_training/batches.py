"""Training batches: drawn crops, augmented views, targets and the teacher's heatmaps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as cache_result
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lpn_training.config import Config, ModelConfig
from lpn_training.data.augment import (
    ViewMaps,
    disturb,
    inside_view,
    map_keypoints,
    normalise,
    random_maps,
    sample_views,
    swap_sides,
)
from lpn_training.data.crops import CropSet, load_crops, to_device
from lpn_training.data.keypoints import COCO17, JointSet, joint_set_of
from lpn_training.data.shards import file_hash, find_shards
from lpn_training.data.targets import confident_targets, gaussian_targets
from lpn_training.sampling import Sampler, Stream, seed_of
from lpn_training.teacher import (
    TEACHER_HEIGHT,
    TEACHER_WIDTH,
    TeacherPredictions,
    cached_predictions,
    filter_labels,
    load_teacher,
    run_teacher,
)

STRIDE = 4  # input pixels per heatmap pixel
# Streamed crops are decoded so early that a slow batch does not stop the training.
BATCHES_AHEAD = 4


class Batch(NamedTuple):
    """One step's data, all on the training device.

    Attributes:
        views: (N, 3, H, W) float32 normalised RGB, channels_last.
        targets: (N, K, H / 4, W / 4) float32.
        weights: (N, K) float32, 0 for joints without a label.
        teacher_heatmaps: (N, K, H / 4, W / 4) float32 of the teacher, or None.
    """

    views: Tensor
    targets: Tensor
    weights: Tensor
    teacher_heatmaps: Tensor | None


def check_joints(what: str, joints: JointSet, model: ModelConfig) -> None:
    """Hold crops to the joints of a model.

    Raises:
        ValueError: They have others.
    """
    wanted = joint_set_of(model.keypoint_set)
    if joints != wanted:
        differ = "" if joints.name != wanted.name else ", of other joints than the configuration's"
        raise ValueError(
            f"model.keypoints is {model.keypoints!r}; {what} hold {joints.name!r}{differ}"
        )


class BatchSource:
    """Holds all crops on the device and makes the batch of any step.

    Raises:
        ValueError: A source weight for an unknown source, an unknown teacher form, or a teacher
            that is to see views of another size than its own.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config = config
        data, loss, model = config.data, config.loss, config.model
        if loss.teacher_form not in ("heatmaps", "points"):
            raise ValueError(
                f"loss.teacher_form is {loss.teacher_form!r}; it must be 'heatmaps' or 'points'"
            )
        size, own = (model.height, model.width), (TEACHER_HEIGHT, TEACHER_WIDTH)
        dense = loss.teacher and loss.teacher_form == "heatmaps"
        if dense and (size != own or config.schedule.phase_heights):
            phases = " in phases of other sizes" if config.schedule.phase_heights else ""
            raise ValueError(
                f"the model's input is {size}{phases} and the teacher's {own}; "
                "loss.teacher_form = 'points' works for any size"
            )
        odd = [joint for joint in loss.teacher_joints if not 0 <= joint < model.num_joints]
        if odd:
            raise ValueError(
                f"loss.teacher_joints names joint {odd[0]}; the model has 0 to "
                f"{model.num_joints - 1}"
            )
        if loss.teacher and model.keypoints != COCO17.name:
            raise ValueError(
                f"the teacher knows {COCO17.name}; model.keypoints is {model.keypoints!r}"
            )
        shards = find_shards(data.shards)
        self.teacher_hash = file_hash(Path(loss.teacher)) if loss.teacher else None
        crops = load_crops(
            shards,
            workers=data.workers,
            limit=data.limit or None,
            device=device,
            storage=data.storage,
            teacher=self.teacher_hash,
        )
        check_joints("the shards", crops.joints, model)
        for key, table in (("source_weights", data.source_weights), ("held_out", data.held_out)):
            unknown = sorted(set(table) - set(crops.source_names))
            if unknown:
                raise ValueError(
                    f"data.{key} names {unknown[0]!r}; sources are {crops.source_names}"
                )
        self.crops = crops
        self._ahead: dict[int, Callable[[], Tensor]] = {}
        self.generator = torch.Generator(device)
        self.teacher: nn.Module | None = None
        self.predictions: TeacherPredictions | None = None
        keep = self._filter_by_teacher(device) if loss.teacher else self.crops.labelled.any(dim=1)
        parts = [data.held_out.get(name, 0.0) for name in crops.source_names]
        limits = torch.tensor(parts, dtype=torch.float64, device=device)
        self.held_out = crops.lots < limits[crops.sources]
        keep &= ~self.held_out
        factors = [data.source_weights.get(name, 1.0) for name in crops.source_names]
        # On the CPU, where choosing holds up no GPU.
        chances = torch.tensor(factors)[self.crops.sources.cpu()] * keep.cpu()
        self.sampler = Sampler(chances, config.train.seed)

    def _filter_by_teacher(self, device: torch.device) -> Tensor:
        loss = self.config.loss
        assert self.teacher_hash is not None

        @cache_result
        def teacher() -> nn.Module:
            loaded: nn.Module = load_teacher(Path(loss.teacher), device)
            if self.config.train.compile:
                loaded = torch.compile(loaded)  # type: ignore[assignment]
            return loaded

        cache = Path(loss.teacher_cache) if loss.teacher_cache else None
        batch_size = min(self.config.train.batch_size, len(self.crops))
        predictions = cached_predictions(self.crops, teacher, self.teacher_hash, batch_size, cache)
        keep = filter_labels(self.crops, predictions, loss)
        if loss.teacher_form == "points":
            self.predictions = predictions
        else:
            self.teacher = teacher()
        return keep

    def held_out_crops(self) -> CropSet:
        """The labelled crops of the pictures that are never drawn.

        Raises:
            ValueError: There is none.
        """
        chosen = (self.held_out & self.crops.labelled.any(dim=1)).nonzero()[:, 0]
        if len(chosen) == 0:
            raise ValueError(
                f"data.held_out is {self.config.data.held_out}, which holds out none of the "
                f"{len(self.crops)} crops that has a label"
            )
        return self.crops.part(chosen)

    def trained_crops(self, count: int) -> CropSet | None:
        """Labelled crops that are drawn, of as many people at most; None where there are none.

        Those of the pictures that ``data.held_out`` would take last: the same in every run.
        """
        drawn = self.crops.labelled.any(dim=1).cpu() & (self.sampler.chances > 0)
        chosen = drawn.nonzero()[:, 0]
        last = self.crops.lots.cpu()[chosen].argsort(descending=True, stable=True)[:count]
        if len(last) == 0:
            return None
        return self.crops.part(chosen[last].sort().values.to(self.crops.device))

    def draw(
        self,
        step: int,
        rank: int = 0,
        processes: int = 1,
        *,
        turn: int = 0,
        size: tuple[int, int] | None = None,
    ) -> Batch:
        """A part of one step's samples, in views of ``size`` or the model's.

        All randomness is a function of (seed, step), so a resumed run draws what it would have,
        and the parts of several processes and turns are together what one process draws in one
        turn (but for ``disturb``, whose colours and rectangles come from the part alone).

        Args:
            step: Of the run.
            rank: Of this process.
            processes: How many share each batch.
            turn: Which of the ``train.accumulate`` batches of the step.
            size: Height and width of the views.
        """
        height, width = size or (self.config.model.height, self.config.model.width)
        train, augment = self.config.train, self.config.augment
        places = self.sampler.choose(step, train.step_size)
        chosen = to_device(places, self.crops.device)
        self.generator.manual_seed(seed_of(train.seed, Stream.VIEWS, step))
        maps = random_maps(self.crops.boxes[chosen], height, width, augment, self.generator)
        part, parts = turn * processes + rank, train.accumulate * processes
        if parts > 1:
            taken = slice(part, None, parts)
            places, chosen = places[taken], chosen[taken]
            maps = ViewMaps(maps.matrix[taken], maps.mirrored[taken])
            self.generator.manual_seed(seed_of(train.seed, Stream.PART, step, part))
        images = self._images(step * train.accumulate + turn, places, chosen, rank, processes)
        clean = sample_views(images, maps, height, width)
        joints = self.crops.joints
        targets, weights = gaussian_targets(
            map_keypoints(self.crops.keypoints[chosen], maps, joints),
            swap_sides(self.crops.labelled[chosen], maps.mirrored, joints),
            height=height // STRIDE,
            width=width // STRIDE,
            stride=STRIDE,
            sigma=self.config.data.target_sigma,
        )
        teacher_heatmaps = self._teacher_heatmaps(chosen, maps, clean)
        views = normalise(disturb(clean, augment, self.generator))
        views = views.contiguous(memory_format=torch.channels_last)
        return Batch(views, targets, weights, teacher_heatmaps)

    def _images(
        self, batch: int, places: Tensor, chosen: Tensor, rank: int, processes: int
    ) -> Tensor:
        """The chosen crops; streamed ones are decoded some batches ahead.

        Args:
            batch: Which of the run, of which a step has ``train.accumulate``.
            places: (n,) indices into the crops, on the CPU.
            chosen: The same on the training device.
            rank: Of this process.
            processes: How many share the batch.
        """
        images = self.crops.images
        if isinstance(images, Tensor):
            return images[chosen]
        train = self.config.train
        ahead = {batch: self._ahead.get(batch) or images.begin(places)}
        for later in range(batch + 1, batch + 1 + BATCHES_AHEAD):
            step, turn = divmod(later, train.accumulate)
            taken = slice(turn * processes + rank, None, train.accumulate * processes)
            part = self.sampler.choose(step, train.step_size)[taken]
            ahead[later] = self._ahead.get(later) or images.begin(part)
        self._ahead = ahead
        return self._ahead.pop(batch)()

    def _teacher_heatmaps(self, chosen: Tensor, maps: ViewMaps, clean: Tensor) -> Tensor | None:
        if self.teacher is not None:
            return run_teacher(self.teacher, normalise(clean))
        if self.predictions is None:
            return None
        height, width = clean.shape[2:]
        points, confidence = self.predictions.keypoints[chosen], self.predictions.confidence[chosen]
        places = map_keypoints(points, maps)
        return confident_targets(
            places,
            swap_sides(confidence, maps.mirrored) * inside_view(places, height, width),
            height=height // STRIDE,
            width=width // STRIDE,
            stride=STRIDE,
            sigma=self.config.data.target_sigma,
        )
