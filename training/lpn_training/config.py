"""Training configuration: one TOML file, one dataclass per table, no unknown keys."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lpn_training.data.augment import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class ModelConfig:
    """What is trained."""

    depth: int = 50
    attention: str = "gc"  # "gc", "se" or "none"
    num_joints: int = 17
    initialisation: str = "he"  # "he" or "paper"
    height: int = 256
    width: int = 192


@dataclass(frozen=True)
class DataConfig:
    """Where the crops come from. Relative paths are relative to the working directory."""

    shards: tuple[str, ...] = ()  # files or folders of *.tar
    validation_shards: tuple[str, ...] = ()
    source_weights: dict[str, float] = field(default_factory=dict)  # 1 where not named
    workers: int = -1  # decoding processes; -1: one per core, 0: decode in this process
    # "held": all crops decoded in the device's memory, "streamed": decoded for each batch,
    # "auto": held where they take at most half of it. The batches are the same.
    storage: str = "auto"
    target_sigma: float = 2.0  # of the Gaussians, in heatmap pixels; cut at three sigma
    limit: int = 0  # crops per shard, 0: all


@dataclass(frozen=True)
class LossConfig:
    """Weights of the two losses and the rules for doubtful labels."""

    label_weight: float = 1.0
    teacher: str = ""  # ONNX file; empty: labels only
    teacher_weight: float = 0.0
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
    ``total_steps``.
    """

    kind: str = "cosine"  # "cosine" or "milestones"; the latter needs epochs
    epochs: int = 0  # passes over the crops
    total_seconds: float = 0.0
    total_steps: int = 1000
    warmup: float = 0.02  # cosine: part of a stage
    final: float = 1e-3  # cosine: ends at this part of the full rate
    milestones: tuple[float, ...] = (90, 120)  # epochs from which on the rate is lower ...
    factor: float = 0.1  # ... by this factor
    stages: int = 1
    restart_epoch: int = 0  # later stages begin at this epoch: 60 of 150 in the paper


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser and loop."""

    seed: int = 0
    device: str = "cuda"
    batch_size: int = 32  # of all processes together
    optimiser: str = "adam"  # "adam" or "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0: no clipping
    ema_decay: float = 0.0  # 0: the average is the model itself
    freeze_norm: bool = False  # BatchNorm keeps its statistics; its scale and shift still learn
    bf16: bool = False
    channels_last: bool = True
    compile: bool = False
    log_every: int = 50  # steps, as the next two
    save_every: int = 2000
    validate_every: int = 2000
    validate_epochs: int = 0  # when positive, validate after so many epochs instead
    tensorboard: bool = False  # needs the extra [tensorboard]
    initial: str = ""  # checkpoint whose weights the first stage starts from

    def __post_init__(self) -> None:
        for name in ("batch_size", "log_every", "save_every", "validate_every"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"train.{name} is {value}; it must be at least 1")


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

Table = TypeVar("Table")


def _fill(default: Table, values: dict[str, Any], where: str) -> Table:
    """Replace fields of a dataclass instance, checking names and types."""
    known = {f.name: getattr(default, f.name) for f in fields(default)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(
            f"unknown configuration key {where}{unknown[0]}; known are {', '.join(sorted(known))}"
        )
    changes: dict[str, Any] = {}
    for name, value in values.items():
        old = known[name]
        if is_dataclass(old) and isinstance(value, dict):
            changes[name] = _fill(old, value, f"{where}{name}.")
            continue
        if isinstance(old, tuple) and isinstance(value, (list, tuple)):
            value = tuple(value)
        elif isinstance(old, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(old):
            raise ValueError(
                f"configuration key {where}{name} is {value!r}; "
                f"a {type(old).__name__} is wanted, such as {old!r}"
            )
        changes[name] = value
    return replace(default, **changes)  # type: ignore[type-var]


def config_from_dict(values: dict[str, Any]) -> Config:
    """Build a configuration from nested tables; an unknown key or a wrong type is a ValueError."""
    return _fill(Config(), values, "")


def stored_config(content: dict[str, Any]) -> Config:
    """The configuration in a checkpoint, which may be older than this version."""
    values = {table: dict(keys) for table, keys in content["config"].items()}
    for table, keys in RETIRED_KEYS.items():
        for key in keys:
            values.get(table, {}).pop(key, None)
    return config_from_dict(values)


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a TOML file over those of the file that its ``extends`` names."""
    values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise ValueError(f"{path}: extends is {parent!r}; the name of a TOML file is wanted")
    merged = read_tables(path.parent / parent)
    for table, keys in values.items():
        if isinstance(keys, dict) and isinstance(merged.get(table), dict):
            merged[table].update(keys)
        else:
            merged[table] = keys
    return merged


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a TOML file, then apply ``table.key=value`` overrides.

    A value is in TOML syntax; what is none, such as ``se`` or a path, is taken as a string.
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
        values.setdefault(table, {})[name] = parsed
    return config_from_dict(values)
