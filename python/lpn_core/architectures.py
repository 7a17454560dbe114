"""Networks: from a state dict of NumPy arrays to a graph with BatchNorm folded in."""

from lpn_core.convert.architectures import ARCHITECTURES, build

__all__ = ["ARCHITECTURES", "build"]
