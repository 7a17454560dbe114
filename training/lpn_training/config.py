"""Training configuration: one TOML file, one dataclass per table, no unknown keys."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from lpn_core.keypoints import KeypointSet
from lpn_core.model.keypoint_sets import load_keypoints

from lpn_training.data.augment import Augmentation
from lpn_training.ranges import check_ranges

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class ModelConfig:
    """What is trained."""

    depth: int = 50
    attention: str = "gc"  # "gc", "se" or "none"
    # A set of lpn_core.keypoints, or the .json file that `lpn-train pack` wrote of others.
    keypoints: str = "coco17"
    own_keypoints: str = ""  # the content of that file, read with the configuration
    initialisation: str = "he"  # "he", "paper" or "pytorch"
    height: int = 256
    width: int = 192

    @property
    def keypoint_set(self) -> KeypointSet:
        """The joints."""
        return load_keypoints(json.loads(self.own_keypoints or json.dumps(self.keypoints)))

    @property
    def num_joints(self) -> int:
        """Joints of the keypoint set, which are the network's heatmaps."""
        return len(self.keypoint_set)


@dataclass(frozen=True)
class DataConfig:
    """Where the crops come from. Relative paths are relative to the working directory."""

    shards: tuple[str, ...] = ()  # files or folders of *.tar
    validation_shards: tuple[str, ...] = ()
    source_weights: dict[str, float] = field(default_factory=dict)  # 1 where not named
    # The part of a source's pictures that is never trained on, by a hash of the picture's name:
    # weights are chosen by those of their people that have labels.
    held_out: dict[str, float] = field(default_factory=dict)  # 0 where not named
    workers: int = -1  # decoding processes; -1: one per core, 0: decode in this process
    # "held": all crops decoded in the device's memory, "streamed": decoded for each batch,
    # "auto": held where they take at most half of it. The batches are the same.
    storage: str = "auto"
    target_sigma: float = 2.0  # of the Gaussians, in heatmap pixels; cut at three sigma
    limit: int = 0  # crops per shard, 0: all

    @property
    def validates(self) -> bool:
        """Whether there is anybody to choose weights by."""
        return bool(self.held_out or self.validation_shards)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the two losses and the rules for doubtful labels."""

    label_weight: float = 1.0
    teacher: str = ""  # ONNX file; empty: labels only
    teacher_weight: float = 0.0  # 0: it only judges doubtful labels and unlabelled crops
    teacher_joints: tuple[int, ...] = ()  # joints it teaches; empty: all
    teacher_labelled: bool = True  # False: it teaches only what the view has no label for
    # "heatmaps" runs the teacher on every view; "points" asks it once about every plain crop and
    # draws its keypoints as Gaussians of its confidence: for machines that cannot run it along.
    teacher_form: str = "heatmaps"
    teacher_cache: str = ""  # file that keeps the teacher's answers about plain crops
    # A noisy label is dropped where a teacher surer than this disagrees by this part of the width.
    noisy_sources: tuple[str, ...] = ()
    noisy_confidence: float = 0.5
    noisy_distance: float = 0.12
    # Unlabelled crops whose mean teacher confidence is lower are dropped.
    minimum_confidence: float = 0.0


@dataclass(frozen=True)
class ScheduleConfig:
    """The stages and the learning rate over each of them.

    A stage lasts ``epochs`` where that is positive, else ``total_seconds`` where that is, else
    ``total_steps``; a trapezoid where none is lasts until it is stopped.
    """

    kind: str = "cosine"  # "cosine", "trapezoid" or "milestones"; the last needs epochs
    epochs: int = 0  # passes over the crops
    total_seconds: float = 0.0
    total_steps: int = 1000
    warmup: float = 0.02  # cosine and trapezoid: part of a stage
    final: float = 1e-3  # cosine and trapezoid: end at this part of the full rate
    cooldown: float = 0.3  # trapezoid: part of a stage over which the rate falls
    # The same in steps, where positive: they stay when a run is made longer.
    warmup_steps: int = 0
    cooldown_steps: int = 0
    milestones: tuple[float, ...] = (90, 120)  # epochs from which on the rate is lower ...
    factor: float = 0.1  # ... by this factor
    stages: int = 1
    restart_epoch: int = 0  # later stages begin at this epoch: 60 of 150 in the paper
    # Until these parts of a stage views have these heights, and widths of the model's shape; then
    # the model's size. Small views cost less, and optimiser and average go on.
    phase_ends: tuple[float, ...] = ()
    phase_heights: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser and loop."""

    seed: int = 0
    device: str = "cuda"
    batch_size: int = 32  # of all processes together
    # Batches whose gradients make one step: as a batch so many times as large, but that BatchNorm
    # sees one at a time.
    accumulate: int = 1
    # "adam", "adamw", or "muon": Muon for the matrices of 1x1 convolutions, AdamW for the rest.
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    # Parts that learn at another rate, by this factor: "backbone", "head", or a path such as
    # "layer4.0"; the finest path counts. 0 freezes, also BatchNorm's statistics.
    rate_factors: dict[str, float] = field(default_factory=dict)  # 1 where not named
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0: no clipping
    ema_decay: float = 0.0  # 0: the average is the model itself
    freeze_norm: bool = False  # BatchNorm keeps its statistics; its scale and shift still learn
    bf16: bool = False
    channels_last: bool = True
    compile: bool = False
    log_every: int = 50  # steps, as the next two
    save_every: int = 2000
    keep_last: int = 0  # so many of these saves stay, as step-STEP.pt beside last.pt
    validate_every: int = 2000
    validate_epochs: int = 0  # when positive, validate after so many epochs instead
    tensorboard: bool = False  # needs the extra [tensorboard]
    # What the first stage starts from: a bundled model's name, a model file, a checkpoint, or a
    # state dict with the official keys.
    initial: str = ""

    @property
    def step_size(self) -> int:
        """Samples in one step of the optimiser."""
        return self.batch_size * self.accumulate


@dataclass(frozen=True)
class Config:
    """Everything one run needs; stored in its checkpoints."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: Augmentation = field(default_factory=Augmentation)
    loss: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary."""
        return asdict(self)


# Keys of earlier versions that mean nothing any more.
RETIRED_KEYS = {"schedule": ("start",)}
# Earlier versions named the number of joints, and meant these.
SETS_BY_SIZE = {17: "coco17", 16: "mpii16", 14: "crowdpose14"}
NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
PLURALS = {int: "integers", float: "numbers", str: "strings"}

Table = TypeVar("Table")


def _fill(default: Table, values: dict[str, Any], where: str) -> Table:
    """Replace fields of a dataclass instance, checking names and types."""
    kinds = get_type_hints(type(default))
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ValueError(
            f"unknown configuration key {where}{unknown[0]}; known are {', '.join(sorted(kinds))}"
        )
    changes = {
        name: _convert(value, kinds[name], getattr(default, name), f"{where}{name}")
        for name, value in values.items()
    }
    return replace(default, **changes)  # type: ignore[type-var]


def _convert(value: Any, kind: Any, old: Any, where: str) -> Any:
    """A value as a field of a type, such as ``tuple[int, ...]``, holds it."""
    if is_dataclass(old) and isinstance(value, dict):
        return _fill(old, value, f"{where}.")
    form, parts = get_origin(kind), get_args(kind)
    if form is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(
                _convert(part, parts[0], None, f"{where}[{index}]")
                for index, part in enumerate(value)
            )
        wanted = f"a list of {PLURALS[parts[0]]} in brackets"
    elif form is dict:
        if isinstance(value, dict):
            return {key: _convert(v, parts[1], None, f"{where}.{key}") for key, v in value.items()}
        wanted = f"a table of {PLURALS[parts[1]]} in braces"
    else:
        if kind is float and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
        if type(value) is kind:
            return value
        wanted = NAMES.get(kind, "a table")
    raise ValueError(f"configuration key {where} is {value!r}; {wanted} is wanted")


def _check_losses(loss: LossConfig) -> None:
    """Whether the weights of the losses agree with what there is to learn from.

    Raises:
        ValueError: They do not.
    """
    judges = loss.noisy_sources or loss.minimum_confidence > 0
    if loss.teacher and not loss.teacher_weight and not judges:
        raise ValueError(
            f"loss.teacher is {loss.teacher!r}, but loss.teacher_weight is 0, with which it "
            "teaches nothing; give it a weight, or leave the teacher out"
        )
    if loss.teacher_weight and not loss.teacher:
        raise ValueError(
            f"loss.teacher_weight is {loss.teacher_weight:g}, but there is no loss.teacher; name "
            "its ONNX file, or set the weight to 0"
        )
    if not loss.label_weight and not loss.teacher_weight:
        raise ValueError(
            "loss.label_weight and loss.teacher_weight are both 0: there is nothing to learn from"
        )


def _check_phases(config: Config) -> None:
    """Whether the phases of a stage follow each other, in sizes that the encoder can halve.

    Raises:
        ValueError: They do not.
    """
    ends, heights = config.schedule.phase_ends, config.schedule.phase_heights
    if len(ends) != len(heights):
        raise ValueError(
            f"schedule.phase_ends has {len(ends)} entries and schedule.phase_heights "
            f"{len(heights)}; each phase needs both"
        )
    if list(ends) != sorted(set(ends)):
        raise ValueError(f"schedule.phase_ends is {list(ends)}; each must exceed the one before")
    for height in heights:
        width = height * config.model.width / config.model.height
        if width % 16:
            raise ValueError(
                f"schedule.phase_heights has {height}, which makes views {width:g} wide in the "
                f"shape of {config.model.height} x {config.model.width}; a multiple of 16 is wanted"
            )


def config_from_dict(values: dict[str, Any]) -> Config:
    """Build a configuration from nested tables.

    Raises:
        ValueError: An unknown key, a value of another type, a number out of its range, or an
            unknown keypoint set.
    """
    config = _fill(Config(), values, "")
    check_ranges(config)
    if config.model.keypoints.endswith(".json"):
        config = replace(config, model=_read_keypoints(config.model))
    try:
        config.model.keypoint_set  # noqa: B018
    except ValueError as error:
        raise ValueError(f"model.keypoints: {error}") from None
    return config


def _read_keypoints(model: ModelConfig) -> ModelConfig:
    path = Path(model.keypoints)
    if not path.is_file():
        raise ValueError(f"model.keypoints is {model.keypoints!r}, but there is no such file")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        name = load_keypoints(document).name
    except ValueError as error:
        raise ValueError(f"model.keypoints: {path}: {error}") from None
    return replace(model, keypoints=name, own_keypoints=json.dumps(document))


def stored_config(content: dict[str, Any]) -> Config:
    """The configuration in a checkpoint, which may be older than this version and its ranges.

    Raises:
        ValueError: It is of as many joints as no keypoint set has.
    """
    values = {table: dict(keys) for table, keys in content["config"].items()}
    for table, keys in RETIRED_KEYS.items():
        for key in keys:
            values.get(table, {}).pop(key, None)
    joints = values.get("model", {}).pop("num_joints", None)
    if joints is not None:
        if joints not in SETS_BY_SIZE:
            raise ValueError(
                f"the checkpoint predicts {joints} joints; keypoint sets have "
                f"{sorted(SETS_BY_SIZE)}"
            )
        values["model"].setdefault("keypoints", SETS_BY_SIZE[joints])
    return _fill(Config(), values, "")


def read_tables(path: Path, *children: Path) -> dict[str, Any]:
    """The tables of a TOML file over those of the file that its ``extends`` names.

    Args:
        path: The file.
        children: Those whose ``extends`` led to it.

    Raises:
        ValueError: Not TOML, a wrong key or value, or files that extend each other; the message
            names the file.
        OSError: It cannot be read.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    parent = values.pop("extends", None)
    try:
        # Each file for itself, so that the error names the one to correct.
        config_from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise ValueError(f"{path}: extends is {parent!r}; the name of a TOML file is wanted")
    base = path.parent / parent
    if not base.is_file():
        raise ValueError(f"{path}: extends is {parent!r}, but there is no file {base}")
    if base.resolve() in {file.resolve() for file in (path, *children)}:
        raise ValueError(f"{path}: extends is {parent!r}, which itself extends this file")
    merged = read_tables(base, path, *children)
    for table, keys in values.items():
        merged.setdefault(table, {}).update(keys)
    return merged


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a TOML file, then apply ``table.key=value`` overrides.

    A value is in TOML syntax; what is none, such as ``se`` or a path, is taken as a string.

    Raises:
        ValueError: A wrong key or value, or values that contradict each other; the message names
            the file or the override.
        OSError: A file cannot be read.
    """
    values = read_tables(path)
    for text in overrides:
        key, separator, value = text.partition("=")
        table, dot, name = key.partition(".")
        if not separator or not dot:
            raise ValueError(f"override {text!r} must read table.key=value")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        try:
            config_from_dict({table: {name: parsed}})
        except ValueError as error:
            raise ValueError(f"override {text!r}: {error}") from error
        values.setdefault(table, {})[name] = parsed
    config = config_from_dict(values)
    try:
        _check_losses(config.loss)
        _check_phases(config)
    except ValueError as error:
        raise ValueError(f"{path}{' with overrides' if overrides else ''}: {error}") from error
    return config
