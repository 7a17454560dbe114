"""A peer's session as a task that rounds.Worker can time."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers import Session


class NetworkTask:
    """One run of a loaded network on images that were fed before."""

    def __init__(self, session: Session, images: NDArray[np.float32]) -> None:
        self._session = session
        self._feed = session.feed(images)

    def run(self) -> Any:
        return self._session.run(self._feed)

    def answer(self) -> NDArray[np.float32]:
        return self._session.heatmaps(self.run())


def open_network(
    engine: str, folder: Path, threads: int, images: NDArray[np.float32], **settings: str
) -> NetworkTask:
    """Loads what an engine prepared in ``folder``."""
    load = importlib.import_module(f"peers.{engine}").load
    return NetworkTask(load(folder, threads, len(images), **settings), images)
