"""This package itself, measured as its peers are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from peers import Session

if TYPE_CHECKING:
    from networks import Network


def available() -> str | None:
    import lpn_core

    return lpn_core.__version__


def prepare(network: Network, folder: Path) -> None:
    (folder / "network.pickle").write_bytes(pickle.dumps(network))


def load(
    folder: Path, threads: int, batch: int, precision: str = "fp32", isa: str | None = None
) -> Session:
    del batch
    network: Network = pickle.loads((folder / "network.pickle").read_bytes())
    model = network.graph.compile(network.weights, threads=threads, isa=isa, precision=precision)
    return Session(feed=lambda images: images, run=model.run, heatmaps=lambda result: result)
