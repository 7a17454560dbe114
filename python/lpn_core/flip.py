"""The flip test: heatmaps of a crop and of its mirror image, averaged."""

from lpn_core.image.flip import average_flipped, mirror_crops, unmirror_heatmaps

__all__ = ["average_flipped", "mirror_crops", "unmirror_heatmaps"]
