"""Synthetic shards and tiny runs that the tests of the training's loop share."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lpn_training
import numpy as np
import torch
from lpn_training.config import Config, load_config
from lpn_training.data.shards import Encoded, write_shard
from PIL import Image

CONFIGS = Path(lpn_training.__file__).parent / "configs"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@contextmanager
def one_thread() -> Iterator[None]:
    """Maps this small gain nothing from threads, which on a busy machine wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def synthetic_shard(folder: Path, source: str, *, labelled: bool = True, count: int = 8) -> Path:
    """A shard of noise crops with random keypoints (K = 17), or without any."""
    rng = np.random.default_rng(len(source))
    samples = []
    for index in range(count):
        image = Image.fromarray(rng.integers(0, 256, (200 + index, 150, 3), np.uint8))
        data = folder / "image.webp"
        image.save(data, lossless=True)
        meta = {"source": source, "image": "", "box": [30.0, 40.0, 80.0, 110.0]}
        if labelled:
            points = np.concatenate((rng.uniform(40, 110, (17, 2)), np.full((17, 1), 2.0)), 1)
            meta["keypoints"] = points.reshape(-1).tolist()
        samples.append(Encoded(f"{source}_{index}", "webp", data.read_bytes(), meta))
    write_shard(folder / f"{source}-000.tar", samples)
    return folder / f"{source}-000.tar"


def tiny_overrides(shard: Path, *overrides: str, validate: bool = True) -> tuple[str, ...]:
    """What turns ``tiny.toml`` into a run on a shard, which it is also validated on."""
    shards = [f'data.shards=["{shard}"]']
    if validate:
        shards.append(f'data.validation_shards=["{shard}"]')
    return (*shards, *overrides)


def tiny_config(shard: Path, *overrides: str, validate: bool = True) -> Config:
    """``tiny.toml`` on a shard."""
    return load_config(CONFIGS / "tiny.toml", tiny_overrides(shard, *overrides, validate=validate))
