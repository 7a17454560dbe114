"""The result: the people of one image, their joints and how sure the model is of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lpn_core._checks import check_id, check_number
from lpn_core._records import dataclass
from lpn_core.image.decode import person_scores
from lpn_core.image.draw import draw_skeletons
from lpn_core.image.file import pil_module
from lpn_core.image.load import load_image
from lpn_core.keypoints import KeypointSet
from lpn_core.model.spec import SCORE_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from lpn_core._types import ChannelOrder, ImageLike


@dataclass(frozen=True, eq=False)
class Pose:
    """One person.

    Attributes:
        keypoints: (K, 2) float32, x and y in image pixels.
        raw_scores: (K,) float32, the heatmaps' values at the joints.
        box: (4,) float64, x, y, width, height in image pixels.
        box_score: of the detection, 1 where none was given.
        keypoint_set: names and skeleton of the K joints.
    """

    keypoints: NDArray[np.float32]
    raw_scores: NDArray[np.float32]
    box: NDArray[np.float64]
    box_score: float
    keypoint_set: KeypointSet

    @property
    def scores(self) -> NDArray[np.float32]:
        """(K,) float32: ``raw_scores`` clipped to [0, 1]."""
        return np.clip(self.raw_scores, 0.0, 1.0)

    @property
    def score(self) -> float:
        """Box score times the mean of the raw joint scores above 0.2, as COCO results carry it."""
        return float(person_scores(self.raw_scores[None], np.array([self.box_score]))[0])

    def __repr__(self) -> str:
        return f"<Pose of score {self.score:.3f}, {self.keypoint_set.name}>"

    def to_dict(self) -> dict[str, Any]:
        """The person as JSON takes it; coordinates of a joint that is NaN are None."""
        joints = zip(self.keypoint_set.names, self.keypoints, self.scores, strict=True)
        return {
            "box": [float(value) for value in self.box],
            "box_score": float(self.box_score),
            "score": self.score,
            "keypoints": [
                {"name": name, "x": _finite(x), "y": _finite(y), "score": float(score)}
                for name, (x, y), score in joints
            ],
        }


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one image, in the order of their boxes.

    ``poses[i]`` is a :class:`Pose`; ``poses[a:b]``, ``poses[[2, 0]]`` and ``poses[mask]`` are
    ``Poses``.

    Attributes:
        keypoints: (N, K, 2) float32, x and y in image pixels.
        raw_scores: (N, K) float32, the heatmaps' values at the joints.
        boxes: (N, 4) float64, x, y, width, height in image pixels.
        box_scores: (N,) float64, 1 where none were given.
        keypoint_set: names and skeleton of the K joints.
        image_size: (width, height) of the image in pixels, or None where it is not known.
    """

    keypoints: NDArray[np.float32]
    raw_scores: NDArray[np.float32]
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    keypoint_set: KeypointSet
    image_size: tuple[int, int] | None = None

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N, K) float32: ``raw_scores`` clipped to [0, 1]."""
        return np.clip(self.raw_scores, 0.0, 1.0)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __iter__(self) -> Iterator[Pose]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Pose: ...
    @overload
    def __getitem__(self, index: slice | NDArray[Any] | list[int]) -> Poses: ...

    def __getitem__(
        self, index: int | np.integer[Any] | slice | NDArray[Any] | list[int]
    ) -> Pose | Poses:
        # To Python True is an integer; as an index it is more likely a mask that went wrong.
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"pose {index} of {len(self)}")
            return Pose(
                self.keypoints[index],
                self.raw_scores[index],
                self.boxes[index],
                float(self.box_scores[index]),
                self.keypoint_set,
            )
        chosen = index if isinstance(index, slice) else _index_array(index)
        return Poses(
            self.keypoints[chosen],
            self.raw_scores[chosen],
            self.boxes[chosen],
            self.box_scores[chosen],
            self.keypoint_set,
            self.image_size,
        )

    def __repr__(self) -> str:
        return f"<Poses of {len(self)} people, {self.keypoint_set.name}>"

    def to_dict(self) -> dict[str, Any]:
        """The people as JSON takes them."""
        return {
            "keypoint_set": self.keypoint_set.name,
            "people": [person.to_dict() for person in self],
        }

    def to_coco(
        self, image_id: int | np.integer[Any] | str, category_id: int | np.integer[Any] | str = 1
    ) -> list[dict[str, Any]]:
        """The people as entries of a COCO keypoint results file, as JSON takes them.

        The score is the box score times the mean of the raw joint scores above 0.2; each joint is
        x, y and its raw score. A joint that is NaN is (0, 0) with score 0. There is no "bbox": with
        one, pycocotools would take the box's area for the pose's, and AP-M and AP-L would be
        others than COCO's.

        Args:
            image_id: of COCO's image, a whole number or text.
            category_id: likewise; 1 is COCO's person.

        Raises:
            TypeError: an id of another kind.
        """
        ids = {
            "image_id": check_id(image_id, "image_id"),
            "category_id": check_id(category_id, "category_id"),
        }
        triples = np.concatenate(
            [self.keypoints.astype(np.float64), self.raw_scores[..., None]], axis=2
        )
        triples[~np.isfinite(triples).all(axis=2)] = 0.0
        return [
            {
                **ids,
                "keypoints": triples[index].reshape(-1).tolist(),
                "score": person.score,
            }
            for index, person in enumerate(self)
        ]

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """One row per joint: person, keypoint, x, y, score, box_score.

        Args:
            path: a file to write, too (all of it or nothing).

        Returns:
            The text.
        """
        import csv
        import io

        if not isinstance(path, str | os.PathLike | None):
            raise TypeError(f"path is {type(path).__name__}; wanted a path, or None for text alone")

        from lpn_core._files import write_atomically

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["person", "keypoint", "x", "y", "score", "box_score"])
        for index, person in enumerate(self):
            for name, (x, y), score in zip(
                self.keypoint_set.names, person.keypoints, person.scores, strict=True
            ):
                row = [f"{value:.6g}" for value in (x, y, score, person.box_score)]
                writer.writerow([index, name, *row])
        if path is not None:
            write_atomically(path, [text.getvalue().encode()])
        return text.getvalue()

    @overload
    def draw(
        self,
        image: str | os.PathLike[str] | Image,
        *,
        threshold: float = ...,
        order: None = ...,
        exif: bool = ...,
    ) -> Image: ...
    @overload
    def draw(
        self, image: ImageLike, *, threshold: float = ..., order: ChannelOrder, exif: bool = ...
    ) -> NDArray[np.uint8]: ...

    def draw(
        self,
        image: ImageLike,
        *,
        threshold: float = SCORE_THRESHOLD,
        order: ChannelOrder | None = None,
        exif: bool = True,
    ) -> Image | NDArray[np.uint8]:
        """Draws the skeletons onto a copy of the image.

        The body's left side is drawn in one colour, its right side in another, all else in a third.

        Args:
            image: the one in which the poses were found, as for ``PoseEstimator``.
            threshold: joints with a lower score, and their limbs, are left out.
            order: of an array's channels, "rgb" or "bgr".
            exif: whether the EXIF orientation of a path or a PIL image is applied; as it was for
                the poses.

        Returns:
            For a path or a PIL image an RGB image of PIL's. For an array an array (H, W, 3) uint8
            of the same order, such as cv2.imwrite takes with "bgr".

        Raises:
            ValueError: an image of another size than the poses are of, or see ``PoseEstimator``.
            TypeError: see ``PoseEstimator``.
        """
        threshold = check_number(threshold, "threshold")
        if math.isnan(threshold):
            raise ValueError("threshold is nan; wanted a number, such as 0.2")
        pixels, found_order = load_image(image, order=order, exif=exif)
        size = (pixels.shape[1], pixels.shape[0])
        if self.image_size is not None and size != self.image_size:
            raise ValueError(_size_message(size, self.image_size))
        drawn = np.array(pixels, order="C")
        draw_skeletons(
            drawn,
            self.keypoints,
            self.scores,
            self.boxes,
            self.keypoint_set,
            threshold=threshold,
            order=found_order,
        )
        if order is not None:
            return drawn
        picture: Image = pil_module().fromarray(drawn)
        return picture


def _size_message(given: tuple[int, int], wanted: tuple[int, int]) -> str:
    hint = ""
    if given == wanted[::-1]:
        hint = "; if it lies on its side, exif= is to be what it was for the poses"
    return (
        f"image is {given[0]} x {given[1]} pixels (width x height), but these poses were found in "
        f"one of {wanted[0]} x {wanted[1]}; wanted that one, or poses scaled to this one{hint}"
    )


def _index_array(index: object) -> NDArray[Any]:
    what = type(index).__name__
    if isinstance(index, list):
        try:
            array = np.asarray(index) if index else np.zeros(0, np.intp)
        except ValueError:
            array = np.zeros(0)
    elif isinstance(index, np.ndarray):
        array = index
        what = f"{array.dtype} array of shape {array.shape}"
    else:
        array = np.zeros(0)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise TypeError(
            f"poses are indexed by an integer, a slice, or a list or one-dimensional array of "
            f"integers or booleans; this is {index!r} ({what})"
        )
    return array


def _finite(value: np.float32) -> float | None:
    return float(value) if math.isfinite(value) else None
