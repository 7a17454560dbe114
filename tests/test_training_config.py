"""Configurations, their files, and the schedule they describe."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from lpn_training.config import (  # noqa: E402
    Config,
    ScheduleConfig,
    config_from_dict,
    load_config,
    stored_config,
)
from lpn_training.models.build import build_model  # noqa: E402
from lpn_training.ranges import RANGES  # noqa: E402
from lpn_training.schedule import Position, Schedule  # noqa: E402
from training_runs import CONFIGS  # noqa: E402

# The paper's iterative training strategy, written out: stage, first and last epoch, rate.
SEVEN_STAGES = (
    (0, 0, 89, 1e-3), (0, 90, 119, 1e-4), (0, 120, 149, 1e-5),
    (1, 60, 89, 1e-3), (1, 90, 119, 1e-4), (1, 120, 149, 1e-5),
    (2, 60, 89, 1e-3), (2, 90, 119, 1e-4), (2, 120, 149, 1e-5),
    (3, 60, 89, 1e-3), (3, 90, 119, 1e-4), (3, 120, 149, 1e-5),
    (4, 60, 89, 1e-3), (4, 90, 119, 1e-4), (4, 120, 149, 1e-5),
    (5, 60, 89, 1e-3), (5, 90, 119, 1e-4), (5, 120, 149, 1e-5),
    (6, 60, 89, 1e-3), (6, 90, 119, 1e-4), (6, 120, 149, 1e-5),
)  # fmt: skip
EXPERIMENTS = [
    (depth, attention, dataset)
    for depth in (50, 101, 152)
    for attention in ("gc", "se", "none")
    for dataset in ("coco", "mpii")
]


def walk(schedule: Schedule) -> list[Position]:
    """Every moment of a run that a step is taken at."""
    moments = []
    for stage in range(schedule.config.stages):
        position = schedule.begin(stage)
        while not schedule.finished(position):
            moments.append(position)
            position = schedule.advance(position, 0.1)
    return moments


@pytest.mark.parametrize("steps_per_epoch", [1, 7])
def test_seven_stages_equal_the_table_written_by_hand(steps_per_epoch: int) -> None:
    config = load_config(CONFIGS / "recipe-coco.toml")
    schedule = Schedule(config.schedule, steps_per_epoch)
    rate = config.train.learning_rate
    found = [
        (m.stage, m.step // steps_per_epoch, rate * schedule.factor(m)) for m in walk(schedule)
    ]
    expected = [
        (stage, epoch, value)
        for stage, first, last, value in SEVEN_STAGES
        for epoch in range(first, last + 1)
        for _ in range(steps_per_epoch)
    ]
    assert len(expected) == (150 + 6 * 90) * steps_per_epoch
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], rel=1e-12)


def test_milestones_within_an_epoch() -> None:
    config = ScheduleConfig(kind="milestones", epochs=16, milestones=(9.6, 12.8))
    schedule = Schedule(config, 10)
    factors = [schedule.factor(Position(0, step)) for step in range(160)]
    assert factors == pytest.approx([1.0] * 96 + [0.1] * 32 + [0.01] * 32)


def test_cosine_by_steps_and_by_seconds() -> None:
    steps = Schedule(ScheduleConfig(warmup=0.1, final=0.0, total_steps=100), 7)
    for step, factor in ((5, 0.5), (10, 1.0), (55, 0.5), (100, 0.0)):
        assert steps.factor(Position(0, step, 1e9)) == pytest.approx(factor)
    timed = Schedule(ScheduleConfig(warmup=0.1, final=0.0, total_seconds=50.0, stages=2), 7)
    for seconds, factor in ((2.5, 0.5), (5.0, 1.0), (27.5, 0.5), (60.0, 0.0)):
        assert timed.factor(Position(1, 10**6, seconds)) == pytest.approx(factor)
    assert timed.finished(Position(0, 1, 50.0))
    assert not timed.finished(Position(0, 10**6, 49.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "linear"}, "it must be one of .*'trapezoid'"),
        ({"kind": "milestones"}, r"schedule\.epochs is 0"),
        ({"total_steps": 0}, "a stage has no length"),
        (
            {"kind": "trapezoid", "total_steps": 0},
            r"schedule\.warmup is 0\.02, which needs a stage",
        ),
        (
            {"kind": "trapezoid", "total_steps": 0, "warmup_steps": 9, "stages": 2},
            r"schedule\.stages is 2, which needs a stage that ends",
        ),
        ({"total_seconds": 9.0, "cooldown_steps": 9}, "cooldown_steps is 9, but seconds end"),
        ({"kind": "milestones", "epochs": 9, "warmup_steps": 9}, "warmup_steps is 9, but miles"),
        ({"stages": 0}, r"schedule\.stages is 0"),
        ({"restart_epoch": 60}, r"below schedule\.epochs, which is 0"),
        ({"epochs": 60, "restart_epoch": 60}, r"below schedule\.epochs, which is 60"),
    ],
)
def test_contradictory_schedule_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(ScheduleConfig(**changes), 1)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    config = load_config(path)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    Schedule(config.schedule, 10)


@pytest.mark.parametrize(("depth", "attention", "dataset"), EXPERIMENTS)
def test_the_recipes_reach_every_experiment(depth: int, attention: str, dataset: str) -> None:
    overrides = (f"model.depth={depth}", f"model.attention={attention}")
    config = load_config(CONFIGS / f"recipe-{dataset}.toml", overrides)
    coco = dataset == "coco"
    joints, width = (17, 192) if coco else (16, 256)
    model = config.model
    assert (model.depth, model.attention, model.num_joints) == (depth, attention, joints)
    assert model.keypoints == ("coco17" if coco else "mpii16")
    begin = "paper" if coco else "pytorch"
    assert (model.height, model.width, model.initialisation) == (256, width, begin)
    train, augment = config.train, config.augment
    assert (train.optimiser, train.batch_size, train.weight_decay) == ("adam", 32, 0.0)
    assert train.learning_rate == 1e-3
    assert (augment.rotation_sigma, augment.rotation_probability) == (40.0 if coco else 30.0, 0.6)
    assert (augment.scale_sigma, augment.mirror_probability) == (0.3 if coco else 0.25, 0.5)
    others = (augment.shift_sigma, augment.colour, augment.paste_probability, train.ema_decay)
    assert others == (0.0, 0.0, 0.0, 0.0)
    assert config.data.target_sigma == 2.0
    schedule = config.schedule
    assert (schedule.kind, schedule.epochs, schedule.factor) == ("milestones", 150, 0.1)
    assert schedule.milestones == (90, 120)
    assert build_model(config).final_layer.out_channels == joints


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.learnig_rate=0.1", "unknown configuration key train.learnig_rate"),
        ("trian.seed=1", "unknown configuration key trian"),
        ("train.seed=1.5", "train.seed is 1.5; an integer is wanted"),
        ("train.seed=one", "train.seed is 'one'; an integer is wanted"),
        ("train.bf16=1", "train.bf16 is 1; true or false is wanted"),
        ("data.shards=a.tar", r"data.shards is 'a.tar'; a list of strings in brackets is wanted"),
        ("data.shards=[1]", r"data.shards\[0\] is 1; a string is wanted"),
        ('loss.teacher_joints=["nose"]', r"teacher_joints\[0\] is 'nose'; an integer is wanted"),
        ("loss.teacher_joints=[1.0]", r"loss.teacher_joints\[0\] is 1.0; an integer is wanted"),
        ('schedule.milestones=["a"]', r"schedule.milestones\[0\] is 'a'; a number is wanted"),
        ("schedule.milestones=[2, -1]", r"schedule.milestones\[1\] is -1.0; it must be at least 0"),
        ("data.source_weights=1", "a table of numbers in braces is wanted"),
        ('data.source_weights={coco="1"}', "source_weights.coco is '1'; a number is wanted"),
        ("data.source_weights={coco=-1.0}", "source_weights.coco is -1.0; it must be at least 0"),
        ("model.height=50", "model.height is 50; it must be a multiple of 16"),
        ("model.width=0", "model.width is 0; it must be a multiple of 16"),
        ("augment.mirror_probability=1.5", "augment.mirror_probability is 1.5; .* from 0 to 1"),
        ("augment.rotation_sigma=-1", "augment.rotation_sigma is -1.0; it must be at least 0"),
        ("loss.label_weight=-1", "loss.label_weight is -1.0; it must be at least 0"),
        ("train.learning_rate=0", "train.learning_rate is 0.0; it must be above 0"),
        ("train.learning_rate=nan", "train.learning_rate is nan; it must be above 0"),
        (f"train.learning_rate=1{'0' * 400}", "train.learning_rate is .*; it must be above 0"),
        ("train.clip_norm=inf", "train.clip_norm is inf; it must be at least 0"),
        ("train.ema_decay=1.0", "train.ema_decay is 1.0; it must be at least 0 and below 1"),
        (f"train.seed=1{'0' * 400}", "train.seed is 1.*; it must be at least 0 and below"),
        ("train.log_every=0", "train.log_every is 0; it must be at least 1"),
        ("train.batch_size=0", "train.batch_size is 0; it must be at least 1"),
        ("loss.teacher=t.onnx", "loss.teacher is 't.onnx', but loss.teacher_weight is 0"),
        ("loss.teacher_weight=2", "loss.teacher_weight is 2, but there is no loss.teacher"),
        ("loss.label_weight=0", "there is nothing to learn from"),
        ("seed=1", "table.key=value"),
    ],
)
def test_wrong_configuration_is_refused(override: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_config(CONFIGS / "tiny.toml", (override,))


def test_every_number_has_a_range() -> None:
    assert {name: set(ranges) for name, ranges in RANGES.items()} == {
        table.name: {
            entry.name for entry in fields(getattr(Config(), table.name))
            if entry.type.strip() not in ("str", "bool", "tuple[str, ...]")
        }
        for table in fields(Config)
    }  # fmt: skip


def test_a_teacher_without_weight_may_judge_labels() -> None:
    more = ("loss.teacher=t.onnx", "loss.minimum_confidence=0.2")
    assert load_config(CONFIGS / "tiny.toml", more).loss.teacher == "t.onnx"


def test_overrides_are_toml_or_bare_strings() -> None:
    words = ("train.seed=7", "model.attention=se", 'train.device="meta"', "schedule.warmup=1")
    config = load_config(CONFIGS / "tiny.toml", words)
    assert (config.train.seed, config.model.attention) == (7, "se")
    assert (config.train.device, config.schedule.warmup) == ("meta", 1.0)


def test_a_file_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[train]\nseed = 1\nbatch_size = 8\n[model]\ndepth = 101\n")
    (tmp_path / "one.toml").write_text('extends = "base.toml"\n[train]\nseed = 2\n')
    config = load_config(tmp_path / "one.toml")
    assert (config.train.seed, config.train.batch_size, config.model.depth) == (2, 8, 101)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"one": "extends = 3"}, "one.toml: extends is 3; the name of a TOML file"),
        ({"one": 'extends = "none.toml"'}, "one.toml: extends is 'none.toml', but there is no"),
        ({"one": 'extends = "one.toml"'}, "one.toml: extends is 'one.toml', which itself extends"),
        (
            {"one": 'extends = "two.toml"', "two": 'extends = "one.toml"'},
            "two.toml: extends is 'one.toml', which itself extends this file",
        ),
        ({"one": "[train"}, "one.toml is not a TOML file: "),
        ({"one": "train = 3"}, "one.toml: configuration key train is 3; a table is wanted"),
        ({"one": "[train]\nseed = -1"}, "one.toml: train.seed is -1; it must be at least 0"),
        (
            {"one": 'extends = "two.toml"', "two": "[train]\nlog_every = true"},
            "two.toml: configuration key train.log_every is True; an integer is wanted",
        ),
        (
            {"one": 'extends = "two.toml"', "two": "[loss]\nteacher_weight = 1.0"},
            "one.toml: loss.teacher_weight is 1, but there is no loss.teacher",
        ),
    ],
)
def test_errors_name_the_file(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text + "\n")
    with pytest.raises(ValueError, match=words):
        load_config(tmp_path / "one.toml")


def test_checkpoints_may_be_of_laxer_versions() -> None:
    """What once ran can still be evaluated and exported."""
    content = {"config": Config().to_dict()}
    content["config"]["loss"]["teacher_weight"] = 1.0
    content["config"]["train"]["ema_decay"] = 1.0
    assert stored_config(content).loss.teacher_weight == 1.0


@pytest.mark.parametrize(
    ("joints", "keypoints"), [(17, "coco17"), (16, "mpii16"), (14, "crowdpose14")]
)
def test_checkpoints_that_name_a_number_of_joints(joints: int, keypoints: str) -> None:
    content = {"config": Config().to_dict()}
    del content["config"]["model"]["keypoints"]
    content["config"]["model"]["num_joints"] = joints
    model = stored_config(content).model
    assert (model.keypoints, model.num_joints) == (keypoints, joints)
    content["config"]["model"]["num_joints"] = 5
    with pytest.raises(ValueError, match=r"predicts 5 joints; keypoint sets have \[14, 16, 17\]"):
        stored_config(content)
    with pytest.raises(ValueError, match=r"unknown configuration key model\.num_joints"):
        config_from_dict({"model": {"num_joints": joints}})


def test_unknown_keypoint_sets_are_refused() -> None:
    words = r"model\.keypoints: unknown keypoint set 'coco'; known: coco17, mpii16, crowdpose14"
    with pytest.raises(ValueError, match=words):
        config_from_dict({"model": {"keypoints": "coco"}})


def test_retired_keys_only_pass_in_checkpoints() -> None:
    content = {"config": Config().to_dict()}
    content["config"]["schedule"]["start"] = 0.0
    assert stored_config(content) == Config()
    with pytest.raises(ValueError, match=r"schedule\.start"):
        config_from_dict(content["config"])


def test_trapezoid_warms_up_stays_and_falls_linearly() -> None:
    config = ScheduleConfig(kind="trapezoid", total_steps=100, warmup=0.1, cooldown=0.4, final=0.05)
    schedule = Schedule(config, 10)
    factors = {step: schedule.factor(Position(0, step)) for step in (5, 10, 60, 80, 100)}
    assert factors == pytest.approx({5: 0.5, 10: 1.0, 60: 1.0, 80: 0.05 + 0.95 * 0.5, 100: 0.05})


def test_a_longer_trapezoid_shares_what_comes_before_the_fall() -> None:
    """With warmup and cooldown of as many steps, whatever the length."""
    short, long = (
        Schedule(ScheduleConfig(kind="trapezoid", total_steps=n, warmup=10 / n, cooldown=40 / n), 1)
        for n in (100, 200)
    )
    for step in range(60):
        position = Position(0, step)
        assert short.factor(position) == pytest.approx(long.factor(position))


def test_a_trapezoid_in_steps_is_the_same_whatever_the_length() -> None:
    def schedule(total: int) -> Schedule:
        steps = {"total_steps": total, "warmup_steps": 10, "cooldown_steps": 40}
        return Schedule(ScheduleConfig(kind="trapezoid", final=0.05, **steps), 1)

    endless, short, long = schedule(0), schedule(100), schedule(10**6)
    for step in range(61):
        wanted = pytest.approx(max(1e-3, min(1.0, step / 10)))
        assert [s.factor(Position(0, step)) for s in (endless, short, long)] == [wanted] * 3
    assert short.factor(Position(0, 80)) == pytest.approx(0.05 + 0.95 * 0.5)
    assert short.factor(Position(0, 100)) == pytest.approx(0.05)
    for step in (61, 10**9):
        assert endless.factor(Position(0, step)) == 1
        assert not endless.finished(Position(0, step))
        assert endless.progress(Position(0, step)) == 0


def test_a_cosine_warms_up_in_steps() -> None:
    steps = Schedule(ScheduleConfig(total_steps=100, warmup_steps=20), 1)
    part = Schedule(ScheduleConfig(total_steps=100, warmup=0.2), 1)
    for step in range(100):
        assert steps.factor(Position(0, step)) == pytest.approx(part.factor(Position(0, step)))


def test_views_grow_with_the_phases_of_a_stage() -> None:
    config = ScheduleConfig(total_steps=10, phase_ends=(0.3, 0.6), phase_heights=(128, 192))
    schedule = Schedule(config, 1)
    heights = [schedule.view_height(Position(0, step), 256) for step in range(10)]
    assert heights == [128] * 3 + [192] * 3 + [256] * 4


@pytest.mark.parametrize(
    ("ends", "heights", "words"),
    [
        ("[0.5]", "[]", "phase_ends has 1 entries and schedule.phase_heights 0"),
        ("[0.5, 0.5]", "[128, 192]", "each must exceed the one before"),
        ("[0.5]", "[224]", "makes views 168 wide in the shape of 256 x 192"),
        ("[1.5]", "[192]", r"phase_ends\[0\] is 1.5; it must be from 0 to 1"),
        ("[0.5]", "[200]", r"phase_heights\[0\] is 200; it must be a multiple of 16"),
    ],
)
def test_phases_that_do_not_follow_each_other_are_refused(
    ends: str, heights: str, words: str
) -> None:
    overrides = (f"schedule.phase_ends={ends}", f"schedule.phase_heights={heights}")
    with pytest.raises(ValueError, match=words):
        load_config(CONFIGS / "recipe-coco.toml", overrides)


OWN = {"name": "dog2", "names": ["nose", "tail"], "skeleton": [[0, 1]], "mirror_pairs": [],
       "sigmas": None}  # fmt: skip


def test_keypoints_of_ones_own_come_with_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "dogs.keypoints.json"
    path.write_text(json.dumps(OWN))
    config = load_config(CONFIGS / "tiny.toml", (f"model.keypoints={path}",))
    path.unlink()
    assert (config.model.keypoints, config.model.num_joints) == ("dog2", 2)
    assert config.model.keypoint_set.names == ("nose", "tail")
    assert stored_config({"config": json.loads(json.dumps(config.to_dict()))}) == config
    with pytest.raises(ValueError, match=r"dogs\.keypoints\.json', but there is no such file"):
        load_config(CONFIGS / "tiny.toml", (f"model.keypoints={path}",))
    path.write_text(json.dumps({**OWN, "names": []}))
    with pytest.raises(ValueError, match=r"dogs\.keypoints\.json: keypoints\.names: wanted a list"):
        load_config(CONFIGS / "tiny.toml", (f"model.keypoints={path}",))
