"""Crops, augmentation, targets and the COCO evaluation set."""
