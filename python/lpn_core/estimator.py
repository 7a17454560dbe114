"""PoseEstimator: an image and boxes in, poses out."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lpn_core import _core
from lpn_core._checks import check_flag
from lpn_core.image.load import load_image
from lpn_core.image.regions import check_boxes
from lpn_core.model import file
from lpn_core.model.model import Model
from lpn_core.model.spec import ModelFile, ModelFileError
from lpn_core.poses import Poses

if TYPE_CHECKING:
    from lpn_core._types import ArrayLike, BoxFormat, ChannelOrder, ImageLike, PathLike

_SUFFIX = ".safetensors"
# Not importlib.resources or pathlib: each takes 3 ms to import.
_WEIGHTS = f"{os.path.dirname(__file__)}/weights"  # noqa: PTH120


class PoseEstimator:
    """Finds the joints of the people in an image. One instance serves any number of threads.

    Attributes:
        model: the network.
    """

    def __init__(self, model: Model) -> None:
        """Wraps a model; ``lpn_core.load`` makes both."""
        if not isinstance(model, Model):
            raise TypeError(
                f"model is {type(model).__name__}; wanted a Model; lpn_core.load(name) gives an "
                "estimator with one"
            )
        self.model = model

    def __call__(
        self,
        image: ImageLike,
        boxes: ArrayLike | None = None,
        *,
        whole_image: bool = False,
        box_format: BoxFormat = "xywh",
        flip: bool = False,
        order: ChannelOrder | None = None,
        exif: bool = True,
    ) -> Poses:
        """Estimates the poses of the people in an image.

        Args:
            image: a path, a PIL image, or an array (H, W, 3) uint8 (NumPy, or DLPack on the CPU).
                A path and the PIL image that it opens give the same poses: upright as their EXIF
                orientation says, and where they are transparent, over white.
            boxes: (N, 4) one box per person, or (N, 5) with detection scores; N may be 0. A box
                may reach outside the image, which is black there.
            whole_image: takes the whole image as the one box.
            box_format: "xywh" (corner and size, as COCO) or "xyxy" (two corners).
            flip: runs the mirrored crops too and averages: slower, a little more accurate.
            order: of an array's channels, "rgb" or "bgr"; required for arrays.
            exif: whether the EXIF orientation of a path or a PIL image is applied; else pixels,
                boxes and poses are those of the picture as it is stored.

        Returns:
            One pose per box, in their order.

        Raises:
            FileNotFoundError: no such image; IsADirectoryError, PermissionError: not to be read.
            ImportError: a path, and Pillow (the extra ``lpn-core[image]``) is not installed.
            ValueError: neither boxes nor whole_image, a bad box (the message names its row), or an
                image that cannot be read.
            TypeError: an argument of another type.
        """
        whole_image = check_flag(whole_image, "whole_image")
        if boxes is None and not whole_image:
            raise ValueError(
                "no boxes: pass boxes=[[x, y, w, h], ...], one per person, or whole_image=True "
                "when the image shows one person"
            )
        if boxes is not None and whole_image:
            raise ValueError("both boxes and whole_image=True were given; wanted one of them")
        flip = check_flag(flip, "flip")
        pixels, found_order = load_image(image, order=order, exif=exif)
        size = (pixels.shape[1], pixels.shape[0])
        if boxes is None:
            boxes = [[0.0, 0.0, *map(float, size)]]
            box_format = "xywh"
        checked, box_scores = check_boxes(boxes, box_format)
        model = self.model
        spec, how = model.input, model.decode
        coordinates, scores = _core.estimate_poses(
            model.compiled,
            pixels,
            checked,
            spec.height,
            spec.width,
            spec.padding,
            spec.channel_map(found_order),
            spec.scale,
            spec.shift,
            how.beta,
            how.quarter_step,
            model.keypoint_set.mirror_index if flip else None,
            how.flip_shift,
        )
        return Poses(coordinates, scores, checked, box_scores, model.keypoint_set, size)

    def close(self) -> None:
        """Frees the model."""
        self.model.close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PoseEstimator {self.model!r}>"


def bundled_models() -> list[str]:
    """Names of the models that the package carries."""
    try:
        names = os.listdir(_WEIGHTS)  # noqa: PTH208
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def model_card(model: str | os.PathLike[str]) -> str | None:
    """The path of a bundled model's card, which says on what it was trained; None of a file's."""
    card = f"{_WEIGHTS}/{model}.md"
    return card if model in bundled_models() and os.path.exists(card) else None  # noqa: PTH110


def model_path(model: PathLike) -> PathLike:
    """The file of a model, by bundled name or path.

    Raises:
        FileNotFoundError: neither; the message lists the bundled names.
    """
    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"model is {type(model).__name__}; wanted a bundled name or a path")
    bundled = bundled_models()
    if isinstance(model, str) and model in bundled:
        return f"{_WEIGHTS}/{model}{_SUFFIX}"
    if not os.path.exists(model):  # noqa: PTH110
        raise FileNotFoundError(
            f"no model {os.fspath(model)!r}: neither a file nor one of the bundled models "
            f"({', '.join(bundled) or 'none'})"
        )
    return model


def read_model(model: PathLike) -> ModelFile:
    """Reads a model file by bundled name or path.

    Raises:
        FileNotFoundError: neither; the message lists the bundled names.
        ModelFileError: not a model file, or a damaged one.
    """
    return file.read(model_path(model))


def load_model(model: PathLike, **options: Any) -> Model:
    """Compiles a model file by bundled name or path; ``options`` are those of :class:`Model`.

    Raises:
        FileNotFoundError: neither; the message lists the bundled names.
        ModelFileError: not a model file, a damaged one, or one whose graph is not consistent.
        ValueError: a bad option.
    """
    content = read_model(model)
    try:
        return Model(content, **options)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(model)}: {error}") from None


def load(
    model: PathLike = "lpn50",
    *,
    threads: int | None = None,
    isa: str | None = None,
    precision: str = "fp32",
    memory_limit: int | None = None,
) -> PoseEstimator:
    """Loads a pose estimator.

    Args:
        model: a bundled name, or the path of a model file.
        threads: that work on one call; None for LPN_NUM_THREADS, or the allowed physical cores.
        isa: one of ``lpn_core.supported_isas()``; "auto" or None for the best one (or LPN_ISA).
        precision: "fp32"; "bf16" for bfloat16 maps and matrix products, 1.8 times as fast on CPUs
            with AVX512_BF16; "int8" for 8-bit integers, 3.4 times as fast with VNNI and 1.5 times
            with AVX2, of a model with scales (the bundled one, and those of ``lpn quantize``);
            "auto" for bf16 where the CPU has it and fp32 on others.
        memory_limit: bytes that the weights, and each run, may take; None for what
            LPN_MEMORY_LIMIT, the machine or its cgroup says.

    Raises:
        FileNotFoundError: no such model; the message lists the bundled names.
        ModelFileError: not a model file, a damaged one, or one whose graph is not consistent.
        ValueError: a bad option.
    """
    return PoseEstimator(
        load_model(model, threads=threads, isa=isa, precision=precision, memory_limit=memory_limit)
    )
