"""Two processes under torchrun against one with the same global batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from lpn_training.batches import BatchSource  # noqa: E402
from lpn_training.checkpoint import load_checkpoint  # noqa: E402
from lpn_training.distributed import Processes  # noqa: E402
from lpn_training.train import Trainer  # noqa: E402
from training_process import double_steps  # noqa: E402
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


def test_two_processes_equal_one(shard: Path, two_processes: Path, tmp_path: Path) -> None:
    with one_thread():
        expected = double_steps(shard, tmp_path, Processes())
    for rank in (0, 1):
        found = torch.load(two_processes / f"double-{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert value.dtype in (torch.float64, torch.int64)
            assert (found[key] - value).abs().max() <= 1e-9, key
    start = Trainer(tiny_config(shard, validate=False), tmp_path).model.conv1.weight
    assert (expected["conv1.weight"] - start).abs().max() > 1e-3


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
