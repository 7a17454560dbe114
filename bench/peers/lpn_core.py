"""This package itself, measured as its peers are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers import CALIBRATION, CALIBRATION_SEED, Images, Session

if TYPE_CHECKING:
    from networks import Network


INTEGERS = "integers.safetensors"


def available() -> str | None:
    import lpn_core

    return lpn_core.__version__


def prepare(network: Network, folder: Path) -> None:
    (folder / "network.pickle").write_bytes(pickle.dumps(network))


def quantize(network: Network, folder: Path) -> None:
    """The integers of a network: of LPN-50 with the scales that it brings."""
    from lpn_core import quantization
    from lpn_core.model import file
    from networks import to_pixels

    model = network.model_file()
    if model.quantization is None:
        pixels = to_pixels(network.photos(CALIBRATION, CALIBRATION_SEED), model.input)
        model = quantization.quantize(model, pixels)
    file.write(folder / INTEGERS, model, "int8")


def load(
    folder: Path, threads: int, batch: int, precision: str = "fp32", isa: str | None = None
) -> Session:
    del batch
    if precision == "int8":
        return load_integers(folder, threads, isa)
    network: Network = pickle.loads((folder / "network.pickle").read_bytes())
    model = network.graph.compile(network.weights, threads=threads, isa=isa, precision=precision)
    return Session(feed=lambda images: images, run=model.run, heatmaps=lambda result: result)


def load_integers(folder: Path, threads: int, isa: str | None) -> Session:
    """The network in 8-bit integers: its own layout is pixels, of which it takes the bytes."""
    from lpn_core.estimator import load_model
    from networks import to_pixels

    model = load_model(folder / INTEGERS, threads=threads, isa=isa, precision="int8")

    def feed(images: Images) -> Any:
        return to_pixels(images, model.input)

    return Session(feed=feed, run=model, heatmaps=lambda result: result)
