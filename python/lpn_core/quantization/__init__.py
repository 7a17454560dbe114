"""Networks in 8-bit integers: their scales, and what these cost."""

from lpn_core.quantization.quantize import MIN_CROPS, heatmaps_sha256, quantize

__all__ = ["MIN_CROPS", "heatmaps_sha256", "quantize"]
