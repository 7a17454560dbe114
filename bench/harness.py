"""What every benchmark uses: the command line's options, converted networks, a replaying clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers
import pytest
from lpn_core import _core
from networks import Network, network
from rounds import Samples, Worker, WorkerError

PRECISIONS = ("fp32", "bf16", "int8")
SMOKE_PEERS = ("onnxruntime", "torch_eager")


@dataclass(frozen=True)
class Options:
    """How a run measures.

    Attributes:
        smoke: as little as possible.
        peers: names of the engines to compare with.
        isas: our tiers; none: what each benchmark does without.
        precisions: of whole networks.
    """

    smoke: bool
    peers: tuple[str, ...]
    isas: tuple[str, ...]
    precisions: tuple[str, ...]
    _rounds: int | None

    def rounds(self, default: int) -> int:
        """Turns of each engine."""
        if self._rounds is not None:
            return self._rounds
        return 1 if self.smoke else default


def read_options(config: pytest.Config) -> Options:
    """The command line's options, checked."""
    smoke = bool(config.getoption("--smoke"))
    names = config.getoption("--peers")
    if names is None:
        chosen = SMOKE_PEERS if smoke else peers.NAMES
    else:
        chosen = tuple(filter(None, names.split(",")))
    unknown = sorted(set(chosen) - set(peers.NAMES))
    if unknown:
        raise pytest.UsageError(
            f"--peers {names}: no engine {', '.join(unknown)}; wanted of {', '.join(peers.NAMES)}"
        )
    isas = tuple(filter(None, (config.getoption("--isa") or "").split(",")))
    unknown = sorted(set(isas) - set(_core.supported_isas()))
    if unknown:
        raise pytest.UsageError(
            f"--isa {','.join(isas)}: this CPU has no {', '.join(unknown)}; "
            f"wanted of {', '.join(_core.supported_isas())}"
        )
    precisions = tuple(config.getoption("--precision").split(","))
    unknown = sorted(set(precisions) - set(PRECISIONS))
    if unknown:
        raise pytest.UsageError(
            f"--precision {','.join(precisions)}: wanted of {', '.join(PRECISIONS)}"
        )
    return Options(smoke, tuple(chosen), isas, precisions, config.getoption("--rounds"))


class Prepared:
    """Networks, and what each engine converted them to; made once a session."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._networks: dict[str, Network] = {}
        self._folders: dict[tuple[str, ...], Path | WorkerError] = {}

    def network(self, name: str) -> Network:
        """A network by name."""
        if name not in self._networks:
            self._networks[name] = network(name)
        return self._networks[name]

    def folder(self, engine: str, name: str, precision: str = "fp32") -> Path:
        """The folder with what an engine converted a network to, in a process of its own.

        Raises:
            WorkerError: it cannot.
        """
        folder = self._do(engine, "prepare", name)
        return self._do(engine, "quantize", name) if precision == "int8" else folder

    def _do(self, engine: str, what: str, name: str) -> Path:
        key = engine, what, name
        if key not in self._folders:
            self._folders[key] = self._call(*key)
        found = self._folders[key]
        if isinstance(found, WorkerError):
            raise found
        return found

    def _call(self, engine: str, what: str, name: str) -> Path | WorkerError:
        folder = self._root / engine / name
        folder.mkdir(parents=True, exist_ok=True)
        worker = Worker(f"{engine}'s conversion", threads=1)
        try:
            worker.call(f"peers.{engine}:{what}", network=self.network(name), folder=folder)
        except WorkerError as error:
            return error
        finally:
            worker.close()
        return folder


class ReplayClock:
    """A timer that shows pytest-benchmark durations which another process has measured."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def replay(self, benchmark: Any, samples: Samples) -> None:
        """Records the samples as the benchmark's rounds."""
        durations: Iterator[float] = iter(samples.seconds)

        def advance() -> None:
            self._now += next(durations)

        benchmark.pedantic(advance, rounds=len(samples.seconds))
