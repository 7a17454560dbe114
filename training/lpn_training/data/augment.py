"""Batched augmentation on any device: views of person crops at the network's input size.

A view is one affine map of its crop, sampled once: ``x' = (x - cx) * W / sw + W / 2`` with
(cx, cy) the box centre and sw the box width grown to W : H and padded by 1.25, then rotated,
scaled and mirrored about the view's centre. Pixels align at integer coordinates, zero outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD, PADDING
from torch import Tensor
from torch.nn import functional

from lpn_training.data.constants import constant
from lpn_training.data.keypoints import COCO17, JointSet


@dataclass(frozen=True)
class Augmentation:
    """How far views differ from the plain crop. The defaults are the paper's."""

    rotation_sigma: float = 40.0  # degrees, clipped to two sigma
    rotation_probability: float = 0.6
    scale_sigma: float = 0.3  # clipped to 1 +- sigma
    mirror_probability: float = 0.5
    shift_sigma: float = 0.0  # of the box centre, in parts of the padded box
    colour: float = 0.0  # strength of brightness, contrast, saturation and channel gains
    paste_probability: float = 0.0  # a rectangle of another view covers part of this one


@dataclass
class ViewMaps:
    """Affine maps from view pixels to crop pixels.

    Attributes:
        matrix: (N, 2, 3) float32, crop = matrix @ (x', y', 1).
        mirrored: (N,) bool.
    """

    matrix: Tensor
    mirrored: Tensor

    def to_crop(self, places: Tensor) -> Tensor:
        """Carry (N, K, 2) view pixels to (N, K, 2) crop pixels, float32."""
        matrix = self.matrix.double()
        found = places.double() @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]
        return found.float()


def plain_maps(boxes: Tensor, height: int, width: int) -> ViewMaps:
    """The evaluation view of each xywh box (N, 4), without any augmentation."""
    zeros = torch.zeros(len(boxes), device=boxes.device)
    mirrored = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return compose_maps(boxes, height, width, zeros, zeros + 1, zeros[:, None], mirrored)


def compose_maps(
    boxes: Tensor,
    height: int,
    width: int,
    angle: Tensor,
    scale: Tensor,
    shift: Tensor,
    mirrored: Tensor,
) -> ViewMaps:
    """Build maps from boxes (N, 4) xywh, radians, scales, shifts (N, 1 or 2) and mirror flags."""
    boxes, angle, scale, shift = boxes.double(), angle.double(), scale.double(), shift.double()
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    padded = torch.maximum(boxes[:, 2], boxes[:, 3] * (width / height)) * PADDING
    centre = centre + shift * padded[:, None]
    step = padded * scale / width  # crop pixels per view pixel
    cos, sin = step * angle.cos(), step * angle.sin()
    linear = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    middle = constant((width / 2, height / 2), boxes.device, boxes.dtype)
    offset = centre - (linear @ middle)
    # The mirror acts on view columns, x' -> W - 1 - x', as flipping the array would.
    sign = torch.where(mirrored, -1.0, 1.0)
    offset = offset + linear[:, :, 0] * torch.where(mirrored, width - 1.0, 0.0)[:, None]
    linear = torch.stack((linear[:, :, 0] * sign[:, None], linear[:, :, 1]), -1)
    return ViewMaps(torch.cat((linear, offset[:, :, None]), -1).float(), mirrored)


def random_maps(
    boxes: Tensor, height: int, width: int, options: Augmentation, generator: torch.Generator
) -> ViewMaps:
    """Draw one map for each xywh box (N, 4); all randomness comes from ``generator``."""
    n, device = len(boxes), boxes.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=generator)

    def chance(probability: float) -> Tensor:
        return torch.rand(n, device=device, generator=generator) < probability

    angle = (normal(n).clamp(-2, 2) * math.radians(options.rotation_sigma)) * chance(
        options.rotation_probability
    )
    scale = 1 + (normal(n) * options.scale_sigma).clamp(-options.scale_sigma, options.scale_sigma)
    shift = normal(n, 2).clamp(-2, 2) * options.shift_sigma
    return compose_maps(
        boxes, height, width, angle, scale, shift, chance(options.mirror_probability)
    )


def sample_views(images: Tensor, maps: ViewMaps, height: int, width: int) -> Tensor:
    """Bilinear views of crops (N, H, W, 3) uint8 -> (N, 3, height, width) float32 in 0..1."""
    crop_height, crop_width = images.shape[1:3]
    source = images.permute(0, 3, 1, 2).float()  # channels_last strides, no copy but the cast
    ys = torch.arange(height, device=images.device, dtype=torch.float32)
    xs = torch.arange(width, device=images.device, dtype=torch.float32)
    a, t = maps.matrix[:, :, :2], maps.matrix[:, :, 2]
    position = (
        a[:, None, None, :, 0] * xs[None, None, :, None]
        + a[:, None, None, :, 1] * ys[None, :, None, None]
        + t[:, None, None, :]
    )
    extent = constant((crop_width - 1, crop_height - 1), images.device)
    grid = position * (2 / extent) - 1
    views = functional.grid_sample(source, grid, "bilinear", "zeros", align_corners=True)
    return views / 255


def swap_sides(values: Tensor, mirrored: Tensor, joints: JointSet = COCO17) -> Tensor:
    """Exchange left and right joints (N, K, ...) of the mirrored samples (N,)."""
    order = constant(joints.mirror, values.device, torch.int64)
    where = mirrored.view(-1, *(1,) * (values.ndim - 1))
    return torch.where(where, values[:, order], values)


def map_keypoints(keypoints: Tensor, maps: ViewMaps, joints: JointSet = COCO17) -> Tensor:
    """Carry keypoints (N, K, 2) into the view as float64, sides swapped where mirrored."""
    matrix = maps.matrix.double()
    inverse = torch.linalg.inv_ex(matrix[:, :, :2]).inverse
    moved = (keypoints - matrix[:, None, :, 2]) @ inverse.transpose(1, 2)
    return swap_sides(moved, maps.mirrored, joints)


def inside_view(keypoints: Tensor, height: int, width: int) -> Tensor:
    """(N, K) bool: which keypoints (N, K, 2) lie on a pixel of the view."""
    limit = constant((width, height), keypoints.device)
    return ((keypoints > -0.5) & (keypoints < limit - 0.5)).all(dim=-1)


def disturb(views: Tensor, options: Augmentation, generator: torch.Generator) -> Tensor:
    """Colour changes and pasted rectangles on views (N, 3, H, W) in 0..1; geometry is kept."""
    n, _, height, width = views.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, device=views.device, generator=generator)

    if options.colour > 0:
        strength = options.colour
        gain = 1 + strength * (2 * uniform(n, 3, 1, 1) - 1) * 0.5
        gain = gain * (1 + strength * (2 * uniform(n, 1, 1, 1) - 1))
        contrast = 1 + strength * (2 * uniform(n, 1, 1, 1) - 1)
        saturation = 1 + strength * (2 * uniform(n, 1, 1, 1) - 1)
        grey = views.mean(dim=1, keepdim=True)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        changed = grey + (views - grey) * saturation
        views = ((mean + (changed - mean) * contrast) * gain).clamp(0, 1)
    if options.paste_probability > 0:
        # Occluders are another person's pixels: 15 to 50 percent of each side.
        size = 0.15 + 0.35 * uniform(n, 2)
        centre = uniform(n, 2)
        on = uniform(n, 1, 1, 1) < options.paste_probability
        ys = (torch.arange(height, device=views.device) + 0.5) / height
        xs = (torch.arange(width, device=views.device) + 0.5) / width
        rows = (ys[None] - centre[:, :1]).abs() < size[:, :1] / 2
        columns = (xs[None] - centre[:, 1:]).abs() < size[:, 1:] / 2
        covered = on & (rows[:, None, :, None] & columns[:, None, None, :])
        views = torch.where(covered, views.roll(1, 0), views)
    return views


def normalise(views: Tensor) -> Tensor:
    """ImageNet mean and deviation, RGB order: (N, 3, H, W) in 0..1 to network input."""
    mean = constant(IMAGENET_MEAN, views.device).view(3, 1, 1)
    std = constant(IMAGENET_STD, views.device).view(3, 1, 1)
    return (views - mean) / std
