"""What a step is made of: batches that add up, parts that learn at rates of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.checkpoint import load_checkpoint  # noqa: E402
from lpn_training.config import TrainConfig  # noqa: E402
from lpn_training.distributed import Processes  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.optimisation import MuonWithAdamW, make_optimiser  # noqa: E402
from lpn_training.rates import rate_factors  # noqa: E402
from lpn_training.train import Trainer, fit  # noqa: E402
from training_process import double_steps  # noqa: E402
from training_runs import file_limit, one_thread, synthetic_shard, tiny_config  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


# --- gradient accumulation -------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_batches_add_up_to_one_as_large(shard: Path, tmp_path: Path, optimiser: str) -> None:
    """In float64 with frozen BatchNorm; the clipped norm is that of the whole step."""
    found = [
        double_steps(
            shard,
            tmp_path,
            Processes(),
            f"train.optimiser={optimiser}",
            "train.clip_norm=0.05",
            f"train.batch_size={8 // turns}",
            f"train.accumulate={turns}",
            steps=3,
        )
        for turns in (1, 4)
    ]
    one, four = (trainer.model.state_dict() for trainer in found)
    for key, value in one.items():
        assert (four[key] - value).abs().max() <= 1e-9, key
    assert (one["conv1.weight"] - LPN().conv1.weight).abs().max() > 1e-3
    assert found[0].step == found[1].step == 3
    assert found[0].schedule.steps_per_epoch == found[1].schedule.steps_per_epoch == 1


@pytest.mark.parametrize("storage", ["held", "streamed"])
def test_turns_of_a_step_draw_what_one_large_batch_draws(shard: Path, storage: str) -> None:
    options = ("train.batch_size=4", f"data.storage={storage}")
    whole = BatchSource(tiny_config(shard, *options, "train.batch_size=8"), torch.device("cpu"))
    parts = BatchSource(tiny_config(shard, *options, "train.accumulate=2"), torch.device("cpu"))
    for step in (0, 1):
        for turn in (0, 1):
            for rank in (0, 1):
                batch = parts.draw(step, rank, 2, turn=turn)
                expected = whole.draw(step)
                for one, all_of_it in zip(batch[:3], expected[:3], strict=True):
                    assert torch.equal(one, all_of_it[2 * turn + rank :: 4])


def test_a_run_of_accumulated_steps_counts_their_samples(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "train.accumulate=2", "schedule.epochs=2", "schedule.stages=1",
                         validate=False)  # fmt: skip
    trainer = fit(config, tmp_path)
    assert trainer.step == 2
    assert trainer.stages[0]["samples"] == 16


# --- parts at other rates --------------------------------------------------------------------


def test_the_finest_path_says_the_rate_factor() -> None:
    factors = rate_factors(
        LPN(50, "gc"), {"backbone": 0.1, "layer4": 0.2, "layer4.2.conv1": 0.5, "head": 2.0}
    )
    assert factors["layer1.0.conv1.weight"] == factors["bn1.bias"] == 0.1
    assert factors["layer4.0.conv1.weight"] == 0.2
    assert factors["layer4.2.conv1.weight"] == 0.5
    assert factors["final_layer.bias"] == factors["deconv_layers.0.weight"] == 2.0
    assert set(rate_factors(LPN(50, "gc"), {"final_layer": 3.0}).values()) == {1.0, 3.0}


def test_every_parameter_is_of_the_backbone_or_the_head() -> None:
    network = LPN(50, "gc")
    halves = [rate_factors(network, {half: 0.5}) for half in ("backbone", "head")]
    for name, _ in network.named_parameters():
        assert sorted(half[name] for half in halves) == [0.5, 1.0], name


@pytest.mark.parametrize("name", ["layer5", "layer", "layer1.0.conv", "Backbone", "neck", ""])
def test_an_unknown_part_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"names .*; known are backbone, head, conv1, .*layer4"):
        rate_factors(LPN(50, "gc"), {name: 0.5})


def test_a_run_with_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is left to learn"):
        rate_factors(LPN(50, "gc"), {"backbone": 0.0, "head": 0.0})


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon"])
def test_parts_move_by_their_factor(kind: str) -> None:
    """The first step of Adam and of Muon is as long as the rate, whatever the gradient is."""
    network = LPN(50, "gc")
    config = TrainConfig(optimiser=kind, rate_factors={"layer3": 0.25, "layer4.0.conv1": 0.0})
    optimiser = make_optimiser(network, config)
    assert isinstance(optimiser, MuonWithAdamW) == (kind == "muon")
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for name, parameter in network.named_parameters():
        parameter.grad = torch.randn(before[name].shape, generator=torch.Generator().manual_seed(0))
    for group in optimiser.param_groups:
        group["lr"] = 0.01 * group["rate_factor"]
    optimiser.step()

    def moved(name: str) -> float:
        change = network.get_parameter(name).detach() - before[name]
        return float(change.square().mean().sqrt())

    # Both are 256 x 256.
    slow, fast = moved("layer3.1.conv1.weight"), moved("deconv_layers.3.weight")
    assert slow == pytest.approx(0.25 * fast, rel=1e-3)
    assert moved("layer4.0.conv1.weight") == 0
    assert moved("layer3.0.bn1.bias") == pytest.approx(0.25 * moved("bn1.bias"), rel=1e-3)


def test_a_frozen_backbone_stays_the_same_function(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "train.rate_factors={backbone=0}", "train.optimiser=muon",
                         "schedule.epochs=1", "schedule.restart_epoch=0")  # fmt: skip
    trainer = Trainer(config, tmp_path)
    start = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.run()
    for key, value in trainer.model.state_dict().items():
        head = key.startswith(("deconv_layers", "final_layer"))
        assert torch.equal(value, start[key]) != head, key


def test_a_run_goes_on_with_other_factors(shard: Path, tmp_path: Path) -> None:
    """Moments follow the names of their parameters into other groups."""
    one = ("schedule.epochs=1", "schedule.stages=1", "schedule.restart_epoch=0")
    fit(tiny_config(shard, *one, "train.rate_factors={backbone=0}", validate=False), tmp_path)
    longer = ("schedule.epochs=2", "schedule.restart_epoch=0", "train.rate_factors={head=0.5}")
    trainer = Trainer(tiny_config(shard, *longer, validate=False), tmp_path)
    content = load_checkpoint(tmp_path / "last.pt")
    content["position"]["stage"] = 0
    torch.save(content, tmp_path / "last.pt")
    trainer.resume(tmp_path / "last.pt")
    assert isinstance(trainer.optimiser, torch.optim.Optimizer)
    held = {name: trainer.optimiser.state.get(p) for name, p in trainer.model.named_parameters()}
    assert not held["conv1.weight"]
    stored = content["optimiser"]["state"]
    names = [n for group in content["optimiser"]["param_groups"] for n in group["param_names"]]
    for index, name in enumerate(names):
        state = held[name]
        assert state is not None
        assert torch.equal(state["exp_avg"], stored[index]["exp_avg"]), name
    trainer.training_mode()
    trainer.train_step()
    assert trainer.optimiser.state[trainer.model.conv1.weight]["step"] == 1
    assert trainer.optimiser.state[trainer.model.final_layer.weight]["step"] == 3


# --- the last checkpoints --------------------------------------------------------------------


def numbered(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*.pt"))


def test_the_last_checkpoints_stay(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "train.keep_last=2", "train.save_every=2", validate=False)
    trainer = fit(config, tmp_path)
    assert trainer.step == 14
    assert numbered(tmp_path) == ["step-00000012.pt", "step-00000014.pt"]
    assert load_checkpoint(tmp_path / "step-00000012.pt")["step"] == 12


def test_a_run_that_goes_back_keeps_its_own_last_ones(shard: Path, tmp_path: Path) -> None:
    """Those of later steps stay until the run gets there, and do not push the new ones out."""
    options = ("train.keep_last=2", "schedule.stages=1", "schedule.restart_epoch=0")
    fit(tiny_config(shard, *options, validate=False), tmp_path)
    assert numbered(tmp_path) == ["step-00000006.pt", "step-00000008.pt"]
    again = tiny_config(shard, *options, "train.save_every=1", validate=False)
    fit(again, tmp_path, resume=tmp_path / "step-00000006.pt", max_seconds=1e-6)
    assert numbered(tmp_path) == ["step-00000006.pt", "step-00000007.pt", "step-00000008.pt"]


def test_a_full_disk_loses_no_checkpoint(shard: Path, tmp_path: Path) -> None:
    options = ("train.keep_last=1", "schedule.stages=1", "schedule.restart_epoch=0")
    config = tiny_config(shard, *options, validate=False)
    fit(config, tmp_path, max_seconds=1e-6)
    fit(config, tmp_path, resume=tmp_path / "last.pt", max_seconds=1e-6)
    assert numbered(tmp_path) == ["step-00000002.pt"]
    size = (tmp_path / "last.pt").stat().st_size
    with file_limit(size // 2), pytest.raises(OSError, match=r"last\.pt"):
        fit(config, tmp_path, resume=tmp_path / "last.pt")
    assert numbered(tmp_path) == ["step-00000002.pt"]
    assert load_checkpoint(tmp_path / "step-00000002.pt")["step"] == 2
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 2


def test_an_earlier_checkpoint_goes_on_without_the_best_that_came_later(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Scores are made up: the weights of the last validation are the best."""
    scores = iter([0.1, 0.2, 0.3, 0.4])
    options = ("train.keep_last=9", "schedule.stages=1", "schedule.restart_epoch=0")
    first = Trainer(tiny_config(shard, *options), tmp_path / "run")
    monkeypatch.setattr(first, "validate", lambda: first.keep(next(scores)))
    first.run()
    assert load_checkpoint(tmp_path / "run" / "best.pt")["best"]["step"] == 8
    second = Trainer(tiny_config(shard, *options), tmp_path / "branch")
    second.resume(tmp_path / "run" / "step-00000004.pt")
    assert "replaced after this checkpoint" in caplog.text
    assert not (tmp_path / "branch").exists()
    monkeypatch.setattr(second, "validate", lambda: second.keep(0.05))
    second.run()
    assert load_checkpoint(tmp_path / "branch" / "best.pt")["best"] == {
        "score": 0.05, "stage": 0, "step": 6
    }  # fmt: skip
