"""What public functions take, for type checkers: nothing imports this while a program runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image


class _DLPack(Protocol):
    """An array of another library, such as ``torch.Tensor``, on the CPU."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


class _HasArray(Protocol):
    """An object that NumPy knows how to view."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


Array: TypeAlias = "npt.NDArray[Any] | _DLPack | _HasArray"
# Boxes may be lists of lists as well.
ArrayLike: TypeAlias = "npt.ArrayLike | _DLPack"
PathLike: TypeAlias = "str | os.PathLike[str]"
ImageLike: TypeAlias = "Array | PathLike | Image"

ChannelOrder: TypeAlias = Literal["rgb", "bgr"]
BoxFormat: TypeAlias = Literal["xywh", "xyxy"]
Layout: TypeAlias = Literal["nchw", "nhwc"]
Activation: TypeAlias = Literal["none", "relu", "relu6"]
DecodeKind: TypeAlias = Literal["soft_argmax", "argmax"]
Precision: TypeAlias = Literal["fp32", "bf16", "int8"]
AttributeType: TypeAlias = Literal["int", "float", "activation"]


class NodeKind(TypedDict):
    """What a node of a kind has: docs/model-file.md."""

    inputs: tuple[int, int | None]  # the least and the most; None for any number
    attributes: dict[str, AttributeType]
    weights: dict[str, tuple[int, bool]]  # number of axes, and whether it may be left out


class PlanStep(TypedDict):
    """A step of a plan; operations and the least memory traffic are those of one image."""

    name: str
    kernel: str
    isa: str
    precision: Precision  # of its multiply-adds
    chunks: int
    flops: float
    bytes: float
