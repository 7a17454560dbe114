"""Model: crops in, heatmaps out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lpn_core import _core
from lpn_core._checks import (
    as_array,
    check_array,
    check_choice,
    check_int,
    contiguous,
    isa_name,
    moved,
)
from lpn_core.keypoints import KeypointSet
from lpn_core.model.spec import (
    HEATMAP_STRIDE,
    DecodeSpec,
    InputSpec,
    ModelFile,
    ModelFileError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lpn_core._types import Array, PlanStep, Precision
    from lpn_core.model.profile import Profile

# That multiply bfloat16 numbers.
_BF16_ISAS = ("avx512bf16",)

PRECISIONS = ("fp32", "bf16", "int8", "auto")


class Model:
    """A compiled network. One instance serves any number of threads at once.

    It pickles (as the content of its model file) and survives a fork.

    Attributes:
        file: the model file's content.
        precision: of the network's maps and matrix products, "fp32", "bf16" or "int8".
    """

    def __init__(
        self,
        model_file: ModelFile,
        *,
        threads: int | None = None,
        isa: str | None = None,
        precision: str = "fp32",
        memory_limit: int | None = None,
    ) -> None:
        """Compiles a model file's network for this CPU.

        Args:
            model_file: as ``model_file.read`` gives it.
            threads: at least 1; None for LPN_NUM_THREADS, or the allowed physical cores.
            isa: one of ``lpn_core.supported_isas()``; "auto" or None for the best one.
            precision: "fp32"; "bf16" for maps and matrix products of bfloat16 numbers, which
                take half the memory and, where the CPU has AVX512_BF16, little more than half the
                time (elsewhere they are emulated, with AVX2 to the same bits, at the speed of fp32
                at best). The network's input and outputs stay float32: maps are bfloat16 between
                a dense convolution and a 1x1 convolution or an upsampling, as in LPN; "int8" for
                maps of bytes and exact products of 8-bit integers, to the same bits on every CPU
                where all products are of integers, as in LPN; it needs a model file with a
                quantization (``lpn quantize`` makes one of any); "auto" for bf16 where the CPU has
                it, else fp32.
            memory_limit: bytes that the weights, and each run, may take; None for what
                LPN_MEMORY_LIMIT, the machine or its cgroup says. Crops that need more are a
                ValueError, which names the node that asks for most.

        Raises:
            TypeError: an option of another type.
            ModelFileError: the graph is not consistent, or not with the input and the keypoints;
                or "int8" for a model without a quantization.
            ValueError: a bad option.
        """
        if threads is not None:
            threads = check_int(threads, "threads")
            if threads < 1:
                raise ValueError(
                    f"threads is {threads}; wanted at least 1, or None for all there are"
                )
        if not isinstance(model_file, ModelFile):
            raise TypeError(
                f"model_file is {type(model_file).__name__}; wanted a ModelFile, as "
                "model_file.read(path) gives it; lpn_core.load(path) does both"
            )
        check_choice(precision, "precision", PRECISIONS)
        if memory_limit is not None:
            memory_limit = check_int(memory_limit, "memory_limit", bits=64)
            if memory_limit < 1:
                raise ValueError(
                    f"memory_limit is {memory_limit}; wanted at least 1 byte, or None for what "
                    "the machine has"
                )
        self.file = model_file
        self._options = {
            "threads": threads,
            "isa": isa,
            "precision": precision,
            "memory_limit": memory_limit,
        }
        self._keypoint_set = model_file.keypoint_set
        with _naming(model_file):
            graph = model_file.graph.build(model_file.weights)
            if precision == "int8":
                self._quantize(graph)
        self._compiled: _core.CompiledModel | None = _core.CompiledModel(
            graph, threads or 0, isa_name(isa), memory_limit or 0, precision
        )
        self.precision = cast("Precision", self._compiled.precision)
        self._warn_of_emulation()
        with _naming(model_file):
            joints = self.heatmap_shape(self.input.height, self.input.width)[2]
            if joints != len(self._keypoint_set):
                raise ValueError(
                    f"it makes {joints} heatmaps, but its keypoint set "
                    f"{self._keypoint_set.name!r} has {len(self._keypoint_set)}"
                )

    @property
    def name(self) -> str:
        """The model's name."""
        return self.file.name

    @property
    def input(self) -> InputSpec:
        """How the network's input is made."""
        return self.file.input

    @property
    def decode(self) -> DecodeSpec:
        """How its heatmaps become coordinates."""
        return self.file.decode

    @property
    def keypoint_set(self) -> KeypointSet:
        """The joints, in the order of the heatmaps."""
        return self._keypoint_set

    @property
    def threads(self) -> int:
        """Threads that work on one call."""
        return self.compiled.threads

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self.compiled.isa

    @property
    def compiled(self) -> _core.CompiledModel:
        """The engine's model.

        Raises:
            ValueError: the model is closed.
        """
        if self._compiled is None:
            raise ValueError(f"model {self.name!r} is closed; load it again")
        return self._compiled

    def heatmap_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(h, w, K) of the heatmaps for crops of height x width.

        Raises:
            ValueError: a size for which the heatmaps are not a quarter of the crop.
        """
        h, w, joints = self.compiled.output_shape(
            check_int(height, "height"), check_int(width, "width")
        )
        if (h * HEATMAP_STRIDE, w * HEATMAP_STRIDE) != (height, width):
            raise ValueError(
                f"crops of {height} x {width} (H x W) give heatmaps of {h} x {w}; wanted exactly a "
                f"quarter, which multiples of 16 give; this model's own is "
                f"{self.input.height} x {self.input.width}"
            )
        return h, w, joints

    def __call__(self, crops: Array) -> NDArray[np.float32]:
        """Runs the network; of several outputs, the first.

        Args:
            crops: (N, H, W, 3): uint8, always RGB; or float32, already normalised and in the
                network's own channel order (``input.channel_order``). H and W are usually those of
                ``input``; other multiples of 16 work.

        Returns:
            (N, H / 4, W / 4, K) float32 heatmaps.

        Raises:
            TypeError: another dtype.
            ValueError: another shape or layout, or the model is closed.
        """
        array = self._check_crops(crops)
        if array.dtype == np.uint8:
            return self.compiled.run_u8(array, *self._normalisation)
        return self.compiled.run(array)

    def run_all(self, crops: Array) -> dict[str, NDArray[np.float32]]:
        """Runs the network to all of its outputs, by name; the first are the heatmaps.

        Args:
            crops: as :meth:`__call__` takes them.

        Returns:
            (N, h, w, C) float32 each, in the order of the model file.

        Raises:
            TypeError: another dtype.
            ValueError: another shape or layout, or the model is closed.
        """
        array = self._check_crops(crops)
        if array.dtype == np.uint8:
            outputs = self.compiled.run_all_u8(array, *self._normalisation)
        else:
            outputs = self.compiled.run_all(array)
        return dict(zip(self.file.graph.outputs, outputs, strict=True))

    def _warn_of_emulation(self) -> None:
        slow = {
            "bf16": self.isa not in _BF16_ISAS and "no faster than",
            "int8": self.isa == "scalar" and "a third as fast as",
        }.get(self.precision)
        if slow:
            # 2 ms that others need not take.
            import logging

            logging.getLogger(__name__).warning(
                '%s: %s is emulated on %s, %s fp32; precision="auto" takes what the CPU has',
                self.name,
                self.precision,
                self.isa,
                slow,
            )

    def _quantize(self, graph: _core.Graph) -> None:
        quantization = self.file.quantization
        if quantization is None:
            raise ValueError(
                "it has no scales for int8; lpn quantize writes a model file that has them, and "
                'precision="bf16" or "fp32" needs none'
            )
        from lpn_core.model.integer_graph import set_scales

        set_scales(graph, quantization, self.input)

    @property
    def _normalisation(self) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        return self.input.channel_map("rgb"), self.input.scale, self.input.shift

    def _check_crops(self, crops: Array) -> NDArray[Any]:
        viewed = as_array(crops, "crops")
        dtype = viewed.dtype
        if dtype != np.uint8 and dtype != np.float32:
            raise TypeError(
                f"crops are {dtype}; wanted uint8, 0 to 255 in RGB order, or float32, already "
                "normalised as the model's input says"
            )
        channels = self.compiled.input_channels
        if viewed.ndim == 4 and viewed.shape[3] != channels:
            hint = ""
            if viewed.shape[1] == channels:
                turned = moved("crops", crops, 0, 2, 3, 1)
                is_view = viewed.transpose(0, 2, 3, 1).flags.c_contiguous
                hint = f"; from (N, {channels}, H, W): "
                hint += turned if is_view else contiguous(turned, crops)
            raise ValueError(f"crops have shape {viewed.shape}; wanted (N, H, W, {channels}){hint}")
        array: NDArray[Any] = check_array(crops, "crops", dtype.type, "(N, H, W, 3)")
        self.heatmap_shape(array.shape[1], array.shape[2])
        return array

    def steps(self) -> Sequence[PlanStep]:
        """What the engine does for one crop of the model's own size, step by step."""
        return self.compiled.steps(self.input.height, self.input.width)

    def profile(self, rounds: int = 50) -> Profile:
        """Measures where the time goes for one crop of the model's own size.

        Takes the time of some 2 ``rounds`` runs and half a second more, with all of the model's
        threads; other work on the machine shows in the figures.

        Args:
            rounds: recorded runs, and as many without recording.

        Raises:
            ValueError: fewer than 1 round, or the model is closed.
            TypeError: ``rounds`` is not an integer.
        """
        # Imported when asked for: who only predicts does not wait for it.
        from lpn_core.model.profile import profile_network

        rounds = check_int(rounds, "rounds")
        return profile_network(
            self.compiled, self.name, self.input.height, self.input.width, rounds
        )

    def close(self) -> None:
        """Frees the network and its workspaces; calls that run in other threads finish."""
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            compiled.release_workspaces()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.file, self._options)

    def __repr__(self) -> str:
        if self._compiled is None:
            return f"<Model {self.name!r} closed>"
        return (
            f"<Model {self.name!r} {self.input.width}x{self.input.height} "
            f"{self.keypoint_set.name} {self.precision} {self.isa} threads={self.threads}>"
        )


@contextlib.contextmanager
def _naming(content: ModelFile) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ModelFileError(f"model {content.name!r}: {error}") from None


def _rebuild(model_file: ModelFile, options: dict[str, Any]) -> Model:
    return Model(model_file, **options)
