"""A photo with boxes to keypoints: ours, and the best one can make of OpenCV and onnxruntime."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lpn_core.model.spec import DecodeSpec, InputSpec

Boxes = NDArray[np.float64]
Photo = NDArray[np.uint8]


class OurPipeline:
    """``PoseEstimator`` as its users call it."""

    def __init__(self, photo: Photo, boxes: Boxes, flip: bool, **options: Any) -> None:
        """``options`` are those of ``lpn_core.load``."""
        import lpn_core

        self._estimator = lpn_core.load("lpn50", **options)
        self._arguments = photo, boxes, flip

    def run(self) -> Any:
        photo, boxes, flip = self._arguments
        return self._estimator(photo, boxes, flip=flip, order="rgb")

    def answer(self) -> NDArray[np.float32]:
        """(N, K, 3) x, y in the photo, and the scores."""
        people = self.run()
        return np.concatenate([people.keypoints, people.raw_scores[..., None]], axis=2)


def stages(
    photo: Photo,
    boxes: Boxes,
    flip: bool,
    threads: int,
    isa: str | None = None,
    precision: str = "fp32",
    runs: int = 30,
) -> dict[str, list[float]]:
    """Seconds of our pipeline's parts, run by run.

    "total" is the estimator as its users call it, "network" the model on crops that are there
    already, "crop" the making of such crops, of one orientation.
    """
    import lpn_core
    from lpn_core import preprocess

    estimator = lpn_core.load("lpn50", threads=threads, isa=isa, precision=precision)
    network, spec = estimator.model, estimator.model.input
    where = preprocess.regions(preprocess.check_boxes(boxes)[0], spec)
    dtype = np.uint8 if precision == "int8" else np.float32
    crops = np.zeros(((2 if flip else 1) * len(boxes), spec.height, spec.width, 3), dtype)
    parts = {
        "total": lambda: estimator(photo, boxes, flip=flip, order="rgb"),
        "network": lambda: network(crops),
        "crop": lambda: preprocess.crop(photo, "rgb", where, spec, threads=threads, isa=isa),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(runs + 3):
        for name, part in parts.items():
            begin = time.perf_counter()
            part()
            times[name].append(time.perf_counter() - begin)
    return {name: seconds[3:] for name, seconds in times.items()}


class PeerPipeline:
    """OpenCV warps, lookup tables normalise, onnxruntime runs the batch, NumPy decodes."""

    def __init__(
        self,
        folder: Path,
        photo: Photo,
        boxes: Boxes,
        flip: bool,
        threads: int,
        input_spec: InputSpec,
        decode_spec: DecodeSpec,
        mirror_index: list[int],
        **settings: str,
    ) -> None:
        """``settings`` are those of the engine's ``load``."""
        import cv2
        from peers import onnxruntime

        cv2.setNumThreads(threads)
        self._cv2 = cv2
        self._photo, self._boxes, self._flip = photo, boxes, flip
        self._spec, self._decode_spec, self._mirror_index = input_spec, decode_spec, mirror_index
        batch = len(boxes) * (2 if flip else 1)
        self._session = onnxruntime.load(folder, threads, batch, **settings)
        # The photo is RGB: the network's channel c is the photo's channel map[c].
        self._channel_map = input_spec.channel_map("rgb")
        self._tables = [
            (np.arange(256) * scale + shift).astype(np.float32)
            for scale, shift in zip(input_spec.scale, input_spec.shift, strict=True)
        ]
        self._name = "image"

    def run(self) -> NDArray[np.float64]:
        centers, sizes = self._regions()
        crops = self._crop(centers, sizes)
        heatmaps = self._run_network(crops)
        coordinates = self._decode(heatmaps)
        height, width = heatmaps.shape[2:]
        scale = sizes / (width, height)
        result: NDArray[np.float64] = (coordinates - (width / 2, height / 2)) * scale[:, None]
        result += centers[:, None]
        return result

    def answer(self) -> NDArray[np.float32]:
        """(N, K, 2) x, y in the photo."""
        return self.run().astype(np.float32)

    def _regions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres and padded sizes (N, 2) of the boxes, grown to the network's aspect ratio."""
        spec = self._spec
        aspect = spec.width / spec.height
        width = np.maximum(self._boxes[:, 2], self._boxes[:, 3] * aspect)
        sizes = np.stack([width, width / aspect], axis=1) * spec.padding
        return self._boxes[:, :2] + self._boxes[:, 2:] / 2, sizes

    def _crop(
        self, centers: NDArray[np.float64], sizes: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """(N, 3, H, W), followed by the mirrored ones if there is a flip test."""
        cv2, spec, count = self._cv2, self._spec, len(centers)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crops = np.empty((count * (1 + self._flip), 3, spec.height, spec.width), np.float32)
        for person in range(count):
            scale = sizes[person, 0] / spec.width
            offset = centers[person] - scale * np.array([spec.width, spec.height]) / 2
            matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
            pixels = cv2.warpAffine(self._photo, matrix, (spec.width, spec.height), flags=flags)
            planes = cv2.split(pixels)
            for channel, (source, table) in enumerate(
                zip(self._channel_map, self._tables, strict=True)
            ):
                cv2.LUT(planes[source], table, crops[person, channel])
        if self._flip:
            crops[count:] = crops[:count, :, :, ::-1]
        return crops

    def _run_network(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K, h, w), averaged with those of the mirrored crops if there is a flip test."""
        heatmaps: NDArray[np.float32] = self._session.run({self._name: crops})
        if not self._flip:
            return heatmaps
        count, shift = len(heatmaps) // 2, self._decode_spec.flip_shift
        mirrored = heatmaps[count:, self._mirror_index, :, ::-1]
        average = heatmaps[:count]
        average[..., shift:] += mirrored[..., : mirrored.shape[3] - shift]
        average[..., :shift] += mirrored[..., :shift]
        average *= 0.5
        return average

    def _decode(self, heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
        """beta-Soft-Argmax and quarter step: (N, K, 2) x, y in heatmap pixels."""
        n, k, h, w = heatmaps.shape
        flat = heatmaps.reshape(n * k, h * w)
        beta = np.float32(self._decode_spec.beta or 0.0)
        weights = np.exp(beta * (flat - flat.max(axis=1, keepdims=True)))
        y, x = np.divmod(np.arange(h * w), w)
        sums = weights @ np.stack([x, y, np.ones(h * w)], axis=1).astype(np.float32)
        found = (sums[:, :2] / sums[:, 2:]).astype(np.float64)
        if self._decode_spec.quarter_step:
            px, py = np.floor(found + 0.5).astype(np.intp).T
            inside = (px > 1) & (px < w - 1) & (py > 1) & (py < h - 1)
            rows, at = np.flatnonzero(inside), (py * w + px)[inside]
            found[inside, 0] += 0.25 * np.sign(flat[rows, at + 1] - flat[rows, at - 1])
            found[inside, 1] += 0.25 * np.sign(flat[rows, at + w] - flat[rows, at - w])
        coordinates: NDArray[np.float64] = found.reshape(n, k, 2)
        return coordinates
