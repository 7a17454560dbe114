"""What a model file says: its graph, and beside it input, decode, provenance, self-test."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from lpn_core import keypoints as keypoint_sets
from lpn_core._checks import check_choice
from lpn_core._records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import ChannelOrder, DecodeKind
    from lpn_core.keypoints import KeypointSet

    # The training package reads specs without the compiled module.
    from lpn_core.model.graph import GraphSpec
    from lpn_core.model.quantization import Quantization

CHANNEL_ORDERS = ("rgb", "bgr")
DECODE_KINDS = ("soft_argmax", "argmax")
# Crop pixels per heatmap pixel; every reader of the heatmaps counts on this ratio.
HEATMAP_STRIDE = 4
# More than any crop needs; keeps a damaged size from allocating the machine away.
_MAX_INPUT = 4096
# Wider than any use: what is computed with such numbers stays finite, and not 0, in float32.
_MAX_MEAN = 1e6
_STD_RANGE = (1e-6, 1e6)
_PADDING_RANGE = (1e-2, 1e2)
_BETA_RANGE = (1e-6, 1e6)

# Of the published networks, here and in training: ImageNet's statistics, the region around a box
# in boxes, and the sharpness of the beta-Soft-Argmax.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PADDING = 1.25
BETA = 160.0
# SimpleBaseline's IN_VIS_THRE: joints above it count towards a person's score, and are drawn.
SCORE_THRESHOLD = 0.2


class ModelFileError(ValueError):
    """A file that is not a model file of lpn_core, or a damaged one."""

    # The name under which callers catch it.
    __module__ = "lpn_core"


def _check_range(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is None or not low <= value <= high:
        raise ValueError(f"{name} is {value}; wanted a number from {low:g} to {high:g}")


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a person's box becomes the network's input.

    Attributes:
        height: of the crop, in pixels.
        width: of the crop, in pixels.
        channel_order: the order in which the network wants its channels, "rgb" or "bgr".
        mean: per network channel, of values in [0, 1]; subtracted.
        std: per network channel; divided by.
        padding: the box, grown to the crop's aspect ratio, is enlarged by this factor.
        affine: "center": the box's centre goes to (width / 2, height / 2).
    """

    channel_order: ChannelOrder
    height: int = 256
    width: int = 192
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    padding: float = PADDING
    affine: str = "center"

    def __post_init__(self) -> None:
        if self.channel_order not in CHANNEL_ORDERS:
            raise ValueError(f"channel_order is {self.channel_order!r}; wanted 'rgb' or 'bgr'")
        for name, size in (("height", self.height), ("width", self.width)):
            if not 1 <= size <= _MAX_INPUT:
                raise ValueError(f"input {name} is {size}; wanted 1 to {_MAX_INPUT}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(isfinite, values)):
                raise ValueError(f"input {name} is {list(values)}; wanted three finite numbers")
        if max(map(abs, self.mean)) > _MAX_MEAN:
            raise ValueError(
                f"input mean is {list(self.mean)}; wanted numbers from {-_MAX_MEAN:g} to "
                f"{_MAX_MEAN:g}"
            )
        for std in self.std:
            _check_range("input std", std, _STD_RANGE)
        _check_range("input padding", self.padding, _PADDING_RANGE)
        if self.affine != "center":
            raise ValueError(f"input affine is {self.affine!r}; wanted 'center'")

    @property
    def scale(self) -> tuple[float, ...]:
        """A uint8 value v becomes v * scale + shift, per network channel."""
        return self._normalisation[0]

    @property
    def shift(self) -> tuple[float, ...]:
        """See :attr:`scale`."""
        return self._normalisation[1]

    @cached_property
    def _normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        # Imported when asked for: the training package reads specs without the compiled module.
        from lpn_core import _core

        return _core.normalisation(self.mean, self.std)

    def channel_map(self, order: ChannelOrder) -> tuple[int, int, int]:
        """For pixels in ``order``: network channel c is pixel channel ``channel_map[c]``.

        Raises:
            ValueError: an order that is neither "rgb" nor "bgr".
            TypeError: not text.
        """
        check_choice(order, "order", CHANNEL_ORDERS)
        return (0, 1, 2) if order == self.channel_order else (2, 1, 0)


@dataclass(frozen=True, kw_only=True)
class DecodeSpec:
    """How heatmaps become coordinates; the defaults are the published ones.

    Attributes:
        kind: "soft_argmax" or "argmax".
        beta: of the soft-argmax; None for argmax.
        quarter_step: whether the classic quarter-pixel step follows.
        flip_shift: pixels by which the flip test shifts mirrored heatmaps to the right; less
            than the heatmaps' width.
    """

    kind: DecodeKind = "soft_argmax"
    beta: float | None = BETA
    quarter_step: bool = True
    flip_shift: int = 1

    def __post_init__(self) -> None:
        if self.kind not in DECODE_KINDS:
            raise ValueError(f"decode kind is {self.kind!r}; wanted 'soft_argmax' or 'argmax'")
        if self.kind == "argmax" and self.beta is not None:
            raise ValueError(f"decode beta is {self.beta}; wanted null (None) for argmax")
        if self.kind == "soft_argmax":
            _check_range("decode beta", self.beta, _BETA_RANGE)
        if self.flip_shift < 0:
            raise ValueError(f"decode flip_shift is {self.flip_shift}; wanted 0 or more pixels")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights come from; None where it is not known.

    Attributes:
        architecture: the builder's name, such as "lpn50".
        training_data: what it was trained on.
        ap: COCO keypoint AP without flip test, in [0, 1]; ``notes`` say on what.
        ap_flip: the same with flip test.
        source_sha256: of the checkpoint it was made from.
        notes: anything else a user should know.
    """

    architecture: str | None = None
    training_data: str | None = None
    ap: float | None = None
    ap_flip: float | None = None
    source_sha256: str | None = None
    notes: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("ap", self.ap), ("ap_flip", self.ap_flip)):
            if value is not None:
                _check_range(f"provenance {name}", value, (0.0, 1.0))


@dataclass(frozen=True)
class SelfTest:
    """Two crops and where the model finds the joints in them.

    Attributes:
        crops: (2, H, W, 3) uint8, RGB.
        keypoints: (2, K, 2) float64, x and y in crop pixels, by beta-Soft-Argmax without the
            quarter step: that is continuous in the heatmaps, so that it agrees on every machine.
    """

    crops: NDArray[np.uint8]
    keypoints: NDArray[np.float64]


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file.

    Attributes:
        name: of the model.
        graph: the network, BatchNorm folded.
        input: how its input is made.
        decode: how its heatmaps become coordinates.
        keypoints: name of the keypoint set of its output channels.
        provenance: where the weights come from.
        self_test: what ``lpn verify`` runs.
        weights: float32 arrays called ``<node>.<weight>``; those of a file that was read are made
            of its content on each access.
        own_keypoint_set: the keypoint set itself, where it is none of ``lpn_core.keypoints``.
        quantization: what the network needs to compute in 8-bit integers, or None.
    """

    name: str
    graph: GraphSpec
    input: InputSpec
    decode: DecodeSpec
    keypoints: str
    provenance: Provenance
    self_test: SelfTest
    weights: Mapping[str, NDArray[np.float32]]
    own_keypoint_set: KeypointSet | None = None
    quantization: Quantization | None = None

    @property
    def keypoint_set(self) -> KeypointSet:
        """The joints of the output channels."""
        return self.own_keypoint_set or keypoint_sets.get(self.keypoints)

    def __repr__(self) -> str:
        size = f"{self.input.height} x {self.input.width}"
        return f"<ModelFile {self.name!r}: {size}, {self.keypoints}, {len(self.weights)} weights>"

    def __post_init__(self) -> None:
        width = self.input.width // HEATMAP_STRIDE
        if self.decode.flip_shift >= max(width, 1):
            raise ValueError(
                f"decode flip_shift is {self.decode.flip_shift}; wanted less than the heatmaps' "
                f"width, {width} for an input {self.input.width} wide"
            )
        if self.own_keypoint_set is not None and self.own_keypoint_set.name != self.keypoints:
            raise ValueError(
                f"keypoints is {self.keypoints!r}; own_keypoint_set is "
                f"{self.own_keypoint_set.name!r}"
            )
        if self.quantization is not None or any(
            "weight_scale" in node.weights for node in self.graph.nodes
        ):
            # Most files have none: programs that read those do without.
            from lpn_core.model.quantization import check_graph

            check_graph(self.graph, self.quantization)
