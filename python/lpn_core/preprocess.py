"""From boxes to regions of an image, and to the network's input."""

from lpn_core.image.regions import BOX_FORMATS, Regions, check_boxes, clip_box, crop, regions

__all__ = ["BOX_FORMATS", "Regions", "check_boxes", "clip_box", "crop", "regions"]
