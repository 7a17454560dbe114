"""The compiled part of lpn_core: graph, compiled model, and every kernel as a function of arrays.

Arrays are C-contiguous NumPy arrays of exactly the dtype named here: nothing is converted silently.
Every error about an argument is a ValueError that says what was given and what is wanted; a wrong
dtype is a TypeError. ``isa`` is "auto" or one of :func:`supported_isas`; ``activation`` is "none",
"relu" or "relu6".
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lpn_core._types import Activation, BoxFormat, Layout, NodeKind, PlanStep

__version__: str

def supported_isas() -> list[str]:
    """The sets of CPU features that this build has kernels for and this CPU has, best last."""

def default_isa() -> str:
    """The set that LPN_ISA names, else the best one; without a name a plan may use all features."""

def default_threads() -> int: ...
def kernels() -> dict[str, list[tuple[str, str]]]:
    """Every operator's registered variants as (function name, isa), best first."""

def node_kinds() -> dict[str, NodeKind]:
    """The kinds of nodes a graph may have, by name: what docs/model-file.md says in prose."""

def crc32c(parts: tuple[object, ...], isa: str | None = None) -> int:
    """CRC-32C of the bytes of all parts, one after the other; every ``isa`` gives the same.

    A part is a contiguous buffer or in a file; None for the CPU's best one, whatever LPN_ISA
    says. OSError as ``StoredPart.read`` raises it.
    """

class StoredPart:
    """Bytes of a file that are to stay what they were when they were first read."""

    def __init__(self, file: StoredFile, begin: int, end: int) -> None: ...
    @property
    def size(self) -> int: ...
    def read(self) -> bytes:
        """OSError when they are others by now, or cannot be read."""

class StoredFile:
    """A file that stays open: also one that is deleted or replaced meanwhile."""

    def __init__(self, descriptor: int, name: str) -> None:
        """The descriptor stays the caller's; the name is for the errors."""
    @property
    def size(self) -> int: ...

class StoredWeight:
    """A weight of two or more axes, "F32" or "BF16", that the engine reads from its file."""

    def __init__(self, part: StoredPart, dtype: str, shape: Sequence[int]) -> None: ...

class Graph:
    """A network as data: nodes over named NHWC tensors, each named after the node that makes it."""

    def __init__(self) -> None: ...
    def add_input(self, name: str, channels: int) -> None: ...
    def add_node(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        attributes: Mapping[str, int | float | str],
        weights: Mapping[str, NDArray[np.float32] | NDArray[np.uint16] | StoredWeight],
    ) -> None:
        """Adds a node; kinds, attributes and weights are those of docs/model-file.md.

        A weight of two or more axes may be uint16: the bits of bfloat16 numbers. The graph and its
        models share the memory of arrays over bytes objects, and copy what could still be written.
        """
    def add_output(self, name: str) -> None: ...
    def set_quantization(self, tensor: str, scale: float, zero_point: int) -> None:
        """In int8, a byte q of a node's result is the number scale * (q - zero_point)."""
    def keep_float(self, node: str) -> None:
        """The node computes in floating point in int8, too."""
    def set_pixels(
        self, channel_map: Sequence[int], scale: Sequence[float], shift: Sequence[float]
    ) -> None:
        """Input channel c is p[channel_map[c]] * scale[c] + shift[c] of a pixel p.

        An int8 network takes the pixels' bytes.
        """
    def shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """(h, w, c) of every tensor for an input of this size."""

class CompiledModel:
    """A graph compiled for this CPU; plans are made per input size on first use and kept."""

    def __init__(
        self,
        graph: Graph,
        threads: int,
        isa: str,
        memory_limit: int = 0,
        precision: str = "fp32",
    ) -> None:
        """threads >= 1, or 0 for default_threads().

        memory_limit: bytes for the weights, and for each run; 0 for what LPN_MEMORY_LIMIT, the
        machine or its cgroup says. A network or an input beyond it is a ValueError.
        precision: "fp32", "bf16", "int8" (maps with a quantization; others stay float32), or "auto"
            for bf16 where this CPU multiplies bfloat16 numbers.
        """
    @property
    def threads(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def precision(self) -> str:
        """ "fp32", "bf16" or "int8": what "auto" came to."""
    @property
    def input_channels(self) -> int: ...
    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Of the first output."""
    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, H, W, C) -> the first output (N, h, w, K).

        Releases the GIL; safe from any number of threads.
        """
    def run_all(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """As run, to every output of the graph, in the order in which they were added."""
    def run_u8(
        self,
        x: NDArray[np.uint8],
        channel_map: Sequence[int],
        scale: Sequence[float],
        shift: Sequence[float],
    ) -> NDArray[np.float32]:
        """As run, on (N, H, W, 3) uint8: c is x[..., channel_map[c]] * scale[c] + shift[c]."""
    def run_all_u8(
        self,
        x: NDArray[np.uint8],
        channel_map: Sequence[int],
        scale: Sequence[float],
        shift: Sequence[float],
    ) -> list[NDArray[np.float32]]:
        """As run_all, on what run_u8 takes."""
    def profile(
        self, x: NDArray[np.float32], rounds: int, by_chunk: bool = False
    ) -> NDArray[np.float64]:
        """Runs one image (1, H, W, C) ``rounds`` times -> (rounds, steps + 1).

        The moments, in seconds of the steady clock (time.perf_counter's on Linux), at which each
        step began and the last one ended. ``by_chunk``: on one thread, and the moments of all
        chunks of all steps instead.
        """
    def steps(self, height: int, width: int) -> list[PlanStep]:
        """The plan."""
    def arena_bytes(self, height: int, width: int) -> int: ...
    def release_workspaces(self) -> None: ...

def fma_peak(
    x: NDArray[np.float32],
    factor: float,
    addend: float,
    steps: int,
    isa: str,
    dtype: str = "float32",
) -> NDArray[np.float32]:
    """x (192,) after ``steps`` times x <- x * factor + addend, 0 < factor < 1, in registers.

    With dtype "bfloat16", x <- (x - p) + p for the product p of both rounded to bfloat16; with
    "int8", x <- x + f for f = 255 * factor, both rounded to integers, as four products of bytes.
    """

def peak_gflops(isa: str, threads: int, seconds: float, dtype: str = "float32") -> float:
    """The multiply-adds that the threads together do, in 10^9 operations a second.

    Of float32 factors, or of pairs of bfloat16.

    The best of the bursts that fit into ``seconds``; threads >= 1, or 0 for default_threads().
    """

def loop_seconds(threads: int, chunks: int, steps: int, seconds: float) -> float:
    """What a parallel loop takes whose chunks are ``steps`` of fma_peak on the scalar tier.

    The median of the loops, one right after the other, that fit into ``seconds``.
    """

def conv2d(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    b: NDArray[np.float32] | None,
    residual: NDArray[np.float32] | None,
    stride: int,
    padding: int,
    activation: Activation,
    isa: str,
) -> NDArray[np.float32]:
    """Dense convolution: x (N, H, W, C), w (O, C, kh, kw), b (O,), residual (N, h, w, O)."""

def pointwise_conv2d(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    b: NDArray[np.float32] | None,
    scale: NDArray[np.float32] | None,
    residual: NDArray[np.float32] | None,
    activation: Activation,
    isa: str,
) -> NDArray[np.float32]:
    """act((x w^T + b) * scale + residual): x (N, H, W, C), w (O, C), b and scale (O,)."""

def depthwise_conv2d(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    b: NDArray[np.float32] | None,
    stride: int,
    padding: int,
    activation: Activation,
    isa: str,
) -> NDArray[np.float32]:
    """Depthwise convolution: x (N, H, W, C), w (C, 1, kh, kw), b (C,)."""

def group_deconv2d(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    b: NDArray[np.float32] | None,
    stride: int,
    padding: int,
    groups: int,
    activation: Activation,
    isa: str,
) -> NDArray[np.float32]:
    """Grouped transposed convolution: x (N, H, W, C), w (C, O / groups, kh, kw), b (O,)."""

def max_pool2d(
    x: NDArray[np.float32], kernel: int, stride: int, padding: int, isa: str
) -> NDArray[np.float32]: ...
def gc_pool(x: NDArray[np.float32], w: NDArray[np.float32], isa: str) -> NDArray[np.float32]:
    """Softmax-weighted mean over positions: x (N, H, W, C), w (C,) -> (N, C)."""

def gc_transform(
    context: NDArray[np.float32],
    w1: NDArray[np.float32],
    b1: NDArray[np.float32],
    norm_w: NDArray[np.float32],
    norm_b: NDArray[np.float32],
    w2: NDArray[np.float32],
    b2: NDArray[np.float32],
    epsilon: float,
    isa: str,
) -> NDArray[np.float32]:
    """context (N, C), w1 (h, C), b1, norm_w, norm_b (h,), w2 (O, h), b2 (O,) -> (N, O)."""

def channel_mean(x: NDArray[np.float32], isa: str) -> NDArray[np.float32]:
    """Mean over positions: x (N, H, W, C) -> (N, C)."""

def se_gate(
    mean: NDArray[np.float32], w1: NDArray[np.float32], w2: NDArray[np.float32], isa: str
) -> NDArray[np.float32]:
    """sigmoid(w2 relu(w1 mean)): mean (N, C), w1 (h, C), w2 (C, h) -> (N, C)."""

def soft_argmax(
    heatmaps: NDArray[np.float32], layout: Layout, beta: float, quarter_step: bool, isa: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """layout "nchw" (N, K, H, W) or "nhwc" (N, H, W, K) -> x, y (N, K, 2) and scores (N, K)."""

def argmax(
    heatmaps: NDArray[np.float32], layout: Layout, quarter_step: bool, isa: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def crop_affine(
    image: NDArray[np.uint8],
    matrices: NDArray[np.float64],
    height: int,
    width: int,
    channel_map: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    isa: str,
    threads: int,
) -> NDArray[np.float32]:
    """Bilinear samples of an image, zero outside: (N, height, width, 3).

    image (H, W, 3) uint8, rows may be padded (strides[0] >= 3 W, inner axes contiguous); matrices
    (N, 2, 3) destination pixel -> source pixel; c is v[channel_map[c]] * scale[c] + shift[c].
    """

def check_boxes(
    boxes: NDArray[np.float64], box_format: BoxFormat
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """boxes (N, 4 or 5), "xywh" or "xyxy" -> x, y, width, height (N, 4) and scores (N,)."""

def grow_boxes(
    boxes: NDArray[np.float64], aspect: float, padding: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """xywh boxes (N, 4) grown to width / height = aspect, then padded -> centers, sizes (N, 2)."""

def normalisation(
    mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """scale, shift: (v / 255 - mean) / std is v * scale + shift, per channel."""

def estimate_poses(
    model: CompiledModel,
    image: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    height: int,
    width: int,
    padding: float,
    channel_map: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    beta: float | None,
    quarter_step: bool,
    mirror_index: Sequence[int] | None,
    flip_shift: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Crops, runs and decodes people -> x, y (N, K, 2) in image pixels and scores (N, K).

    image, channel_map, scale and shift as crop_affine takes them; xywh boxes (N, 4) become crops of
    height x width as grow_boxes says. beta None is argmax. mirror_index: the heatmaps are averaged
    with the mirrored crops', as the flip test does.
    """

def draw_lines(
    image: NDArray[np.uint8],
    ends: NDArray[np.float64],
    radii: NDArray[np.float64],
    colours: NDArray[np.uint8],
) -> None:
    """Paints N anti-aliased lines with round ends onto (H, W, 3), in place, one over the other.

    ends (N, 2, 2): x, y of both, a dot where they are one point, pixel centres at integers; radii
    (N,); colours (N, 3) in the image's order of channels.
    """
