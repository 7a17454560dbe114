"""Two processes under torchrun against one with the same global batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.checkpoint import load_checkpoint  # noqa: E402
from lpn_training.config import TrainConfig  # noqa: E402
from lpn_training.distributed import Processes  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.muon import multiplications, share  # noqa: E402
from lpn_training.optimisation import MuonWithAdamW, make_optimiser  # noqa: E402
from lpn_training.train import Trainer  # noqa: E402
from training_process import RUNS, double_steps  # noqa: E402
from training_runs import ONE_THREAD, one_thread, synthetic_shard, tiny_config  # noqa: E402


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


@pytest.fixture(scope="module")
def two_processes(shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    script = Path(__file__).with_name("training_process.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", str(script), str(shard), str(folder)]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def tensors(content: Any, name: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by where they are."""
    if isinstance(content, torch.Tensor):
        return {name: content}
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, (list, tuple)):
        items = enumerate(content)
    return {k: v for key, part in items for k, v in tensors(part, f"{name}.{key}").items()}


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_equal_one(
    shard: Path, two_processes: Path, tmp_path: Path, run: str
) -> None:
    """Weights and moments, those of the matrices that another process updates included."""
    with one_thread():
        trainer = double_steps(shard, tmp_path, Processes(), *RUNS[run])
    expected = tensors({key: trainer.state()[key] for key in ("model", "ema", "optimiser")})
    assert any("momentum_buffer" in name for name in expected) == (run == "muon")
    for rank in (0, 1):
        content = torch.load(two_processes / f"{run}-{rank}.pt", weights_only=True)
        found = tensors({key: content[key] for key in ("model", "ema", "optimiser")})
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert (found[name] - value).abs().max() <= 1e-9, name
    assert trainer.model.conv1.weight.dtype == torch.float64
    start = Trainer(tiny_config(shard, validate=False), tmp_path).model
    for layer in ("conv1.weight", "layer3.1.conv1.weight"):
        moved = trainer.model.state_dict()[layer] - start.state_dict()[layer]
        assert moved.abs().max() > 1e-3


@pytest.mark.parametrize(("processes", "busiest"), [(1, 1.0), (2, 0.51), (8, 0.16)])
def test_matrices_are_shared_by_their_cost(processes: int, busiest: float) -> None:
    """Of LPN-50's some 40 matrices none costs more than a tenth."""
    network = LPN(50, "gc")
    optimiser = make_optimiser(network, TrainConfig(optimiser="muon"), Processes(0, processes))
    assert isinstance(optimiser, MuonWithAdamW)
    loads = [0] * processes
    for matrix, owner in optimiser.muon.owners.items():
        loads[owner] += multiplications(*matrix.shape)
    assert len(optimiser.muon.owners) == len(optimiser.matrices) > 30
    assert max(loads) <= busiest * sum(loads)


def test_as_many_processes_as_no_network_has_matrices() -> None:
    assert share([8, 1], 4) == [0, 1]
    assert share([3, 3, 2, 2, 2], 2) == [0, 1, 0, 1, 0]


def test_batch_norm_learns_under_two_processes(two_processes: Path) -> None:
    run = two_processes / "run"
    last = load_checkpoint(run / "last.pt")
    assert last["step"] == 6
    assert all(value.isfinite().all() for value in last["ema"].values())
    assert last["model"]["bn1.running_mean"].abs().max() > 0
    assert [record["steps"] for record in json.loads((run / "stages.json").read_text())] == [4, 6]


def test_parts_of_a_batch_are_the_batch(shard: Path) -> None:
    source = BatchSource(tiny_config(shard), torch.device("cpu"))
    whole = source.draw(3)
    for rank in (0, 1):
        part = source.draw(3, rank, 2)
        for one, all_of_it in zip(part[:3], whole[:3], strict=True):
            assert torch.equal(one, all_of_it[rank::2])


def test_batch_that_cannot_be_shared_is_refused(shard: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of the 3 processes"):
        Trainer(tiny_config(shard), tmp_path, Processes(0, 3))
