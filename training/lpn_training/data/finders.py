"""Who is in a picture: boxes by RTMDet, joints by PP-TinyPose, both through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from lpn_core.image.decode import decode
from lpn_core.image.flip import average_flipped, mirror_crops
from lpn_core.image.regions import crop, regions
from lpn_core.keypoints import COCO17
from lpn_core.model.spec import DecodeSpec, InputSpec
from PIL import Image

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = npt.NDArray[np.float64]

# RTMDet's input, in BGR: a square with the picture at the top left.
DETECTOR_SIDE = 320
DETECTOR_GREY = 114
DETECTOR_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
DETECTOR_STD = np.array([57.375, 57.12, 58.395], np.float32)
PERSON = 0

TEACHER_SPEC = InputSpec(channel_order="rgb")
TEACHER_DECODE = DecodeSpec()


def open_session(path: Path, threads: int = 0) -> InferenceSession:
    """An ONNX file on the CPU; 0 threads means as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxTeacher:
    """The teacher's ONNX file, one image at a time.

    Args:
        path: Of the file.
        threads: That work on it; 0 for one per core.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._session = open_session(path, threads)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, crops: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Normalised RGB (N, 256, 192, 3) to heatmaps (N, 64, 48, 17)."""
        inputs = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))
        maps = [self._session.run(None, {self._input: row[None]})[0] for row in inputs]
        heatmaps = np.concatenate(maps).astype(np.float32, copy=False)
        return np.ascontiguousarray(heatmaps.transpose(0, 2, 3, 1))


def ask_for_joints(teacher: Any, pixels: npt.NDArray[np.uint8], boxes: Array) -> Array:
    """The joints of people in a picture, by the teacher with flip test.

    Args:
        teacher: Crops to heatmaps, as ``OnnxTeacher``.
        pixels: (H, W, 3) RGB.
        boxes: (N, 4) xywh in its pixels, N > 0.

    Returns:
        (N, 17, 3) x, y in its pixels and the confidence, which is at least 0.
    """
    where = regions(boxes, TEACHER_SPEC)
    crops = crop(pixels, "rgb", where, TEACHER_SPEC)
    heatmaps = average_flipped(
        teacher(crops), teacher(mirror_crops(crops)), COCO17, shift=TEACHER_DECODE.flip_shift
    )
    places, scores = decode(heatmaps, TEACHER_DECODE, layout="nhwc")
    points = where.to_image(places, *heatmaps.shape[1:3])
    return np.concatenate((points, np.maximum(scores, 0)[..., None]), axis=2)


class PersonDetector:
    """RTMDet's ONNX file, which holds its own non-maximum suppression.

    Args:
        path: Of the file.
        threads: That work on it; 0 for one per core.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._session = open_session(path, threads)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Array, Array]:
        """Boxes (N, 4) xywh within the picture (H, W, 3) RGB and scores (N,), best first."""
        height, width = pixels.shape[:2]
        scale = DETECTOR_SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        canvas = np.full((DETECTOR_SIDE, DETECTOR_SIDE, 3), DETECTOR_GREY, np.float32)
        canvas[: size[1], : size[0]] = np.asarray(small)[..., ::-1]
        canvas = (canvas - DETECTOR_MEAN) / DETECTOR_STD
        inputs = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
        found, kinds = self._session.run(["dets", "labels"], {"input": inputs})
        people = found[0][kinds[0] == PERSON].astype(np.float64)
        people = people[np.argsort(-people[:, 4], kind="stable")]
        ratio = np.array([width / size[0], height / size[1]] * 2)
        corners = np.clip(people[:, :4] * ratio, 0, [width, height] * 2)
        boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
        there = (boxes[:, 2:] > 0).all(axis=1)
        return boxes[there], people[there, 4]
