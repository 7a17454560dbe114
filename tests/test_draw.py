"""Skeletons on pictures: every pixel against the formula, and what is given back."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lpn_core._core as _core
import numpy as np
import pytest
from helpers import photograph
from lpn_core import COCO17, CROWDPOSE14, MPII16, KeypointSet, PoseEstimator, Poses
from numpy.typing import NDArray

LEFT, RIGHT, MIDDLE, DARK = (255, 140, 26), (38, 150, 255), (64, 220, 120), (16, 16, 16)


def _poses(
    entry: KeypointSet = COCO17, people: int = 1, low: float = 0.5, reach: float = 100
) -> Poses:
    generator = np.random.default_rng(7)
    joints = len(entry)
    return Poses(
        generator.uniform(20, reach, (people, joints, 2)).astype(np.float32),
        generator.uniform(low, 1.2, (people, joints)).astype(np.float32),
        generator.uniform(10, reach, (people, 4)),
        generator.uniform(0.3, 1, people),
        entry,
    )


def _one(joints: dict[int, tuple[float, float]]) -> Poses:
    """A person with some joints, in a box around them."""
    keypoints = np.full((1, 17, 2), np.nan, np.float32)
    scores = np.zeros((1, 17), np.float32)
    for joint, place in joints.items():
        keypoints[0, joint], scores[0, joint] = place, 1.0
    found = np.array(list(joints.values()))
    low, high = found.min(axis=0), found.max(axis=0)
    return Poses(keypoints, scores, np.array([[*low, *(high - low)]]), np.ones(1), COCO17)


# --- Pixels ------------------------------------------------------------------------------------


def _paint(
    image: NDArray[np.uint8], ends: NDArray[np.float64], radius: float, colour: tuple[int, ...]
) -> None:
    """One line over the whole picture, pixel by pixel as the contract says."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    (x0, y0), (x1, y1) = ends
    length = math.hypot(x1 - x0, y1 - y0)
    across, down = ((x1 - x0) / length, (y1 - y0) / length) if length else (0.0, 0.0)
    along = np.clip((x - x0) * across + (y - y0) * down, 0, length)
    distance = np.hypot(x - x0 - along * across, y - y0 - along * down)
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    image[:] = np.floor(image + (np.array(colour) - image) * cover + 0.5)


def _side(*names: str) -> tuple[int, int, int]:
    sides = {name.split("_")[0] for name in names} & {"left", "right"}
    return {"left": LEFT, "right": RIGHT}[sides.pop()] if len(sides) == 1 else MIDDLE


def _full_image(people: Poses, image: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    picture = image.copy()
    names = people.keypoint_set.names
    for person in people:
        seen = (person.scores >= threshold) & np.isfinite(person.keypoints).all(axis=1)
        if not seen.any():
            continue
        points = person.keypoints.astype(np.float64)
        extent = np.ptp(points[seen], axis=0).max()
        thickness = max(1.5, 0.02 * max(extent, min(person.box[2:].max(), 2 * extent)))
        thickness = min(thickness, max(image.shape[:2]) / 8)
        for width in (1.6, 1.0):
            for a, b in person.keypoint_set.skeleton:
                if seen[a] and seen[b]:
                    colour = DARK if width > 1 else _side(names[a], names[b])
                    _paint(picture, points[[a, b]], width * thickness / 2, colour)
            for joint in np.flatnonzero(seen):
                colour = DARK if width > 1 else _side(names[joint])
                radius = 1.25 * width * thickness / 2
                _paint(picture, points[[joint, joint]], radius, colour)
    return picture


@pytest.mark.parametrize("entry", [COCO17, MPII16, CROWDPOSE14], ids=lambda entry: entry.name)
@pytest.mark.parametrize("reach", [60, 300])
def test_figures_equal_the_formula_on_every_pixel(entry: KeypointSet, reach: float) -> None:
    image = photograph(120, 140)
    people = _poses(entry, people=3, low=-0.1, reach=reach)
    people.keypoints[1, 3] = np.nan
    wanted = _full_image(people, image, 0.2)
    drawn = people.draw(image, order="rgb")
    assert (wanted != image).any(axis=2).mean() > 0.05
    # Distances that differ in the last bit may round a half to either side.
    difference = np.abs(drawn.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("angle", [0, 17, 45, 70, 90, 123])
@pytest.mark.parametrize("radius", [0.75, 2.5, 9.0])
def test_a_line_covers_its_area_and_has_smooth_edges(radius: float, angle: float) -> None:
    turn = math.radians(angle)
    ends = np.array([[50.3, 49.6], [50.3, 49.6]]) + 21.7 * np.outer(
        (-1, 1), (math.cos(turn), math.sin(turn))
    )
    image = np.zeros((101, 103, 3), np.uint8)
    _core.draw_lines(image, ends[None], np.array([radius]), np.full((1, 3), 255, np.uint8))
    covered = image[..., 0] / 255
    # Two sides and two halves of a disc whose edge falls off over a pixel.
    area = 2 * radius * 43.4 + math.pi * (radius**2 + 1 / 12)
    assert covered.sum() == pytest.approx(area, rel=0.01)
    # What 16 x 16 samples of each pixel say. An edge at 45 degrees covers up to 0.043 of a pixel
    # more than its distance says, a round end up to 1 / (8 radius), and samples miss a thirtieth.
    steps = (np.arange(16) + 0.5) / 16 - 0.5
    y, x = ((np.arange(size)[:, None] + steps).ravel() for size in image.shape[:2])
    along = np.clip(
        (x - ends[0, 0]) * math.cos(turn) + (y[:, None] - ends[0, 1]) * math.sin(turn), 0, 43.4
    )
    distance = np.hypot(
        x - ends[0, 0] - along * math.cos(turn), y[:, None] - ends[0, 1] - along * math.sin(turn)
    )
    sampled = (distance <= radius).reshape(101, 16, 103, 16).mean(axis=(1, 3))
    assert np.abs(covered - sampled).max() <= 0.043 + 1 / (8 * radius) + 1 / 32 + 1 / 255


def test_sides_have_their_colours() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    people = _one({5: (150, 40), 7: (150, 160), 6: (50, 40), 8: (50, 160)})
    drawn = people.draw(image, order="rgb")
    assert tuple(drawn[100, 150]) == LEFT
    assert tuple(drawn[100, 50]) == RIGHT
    assert tuple(drawn[40, 100]) == MIDDLE
    assert (drawn[100, 100] == 0).all()
    np.testing.assert_array_equal(people.draw(image, order="bgr"), drawn[..., ::-1])


def test_unsure_joints_are_left_out() -> None:
    image = np.full((120, 140, 3), 90, np.uint8)
    people = _one({0: (30, 40), 1: (100, 90)})
    people.raw_scores[0, :2] = (0.9, 0.15)
    changed = (people.draw(image, order="rgb") != image).any(axis=2)
    assert changed[40, 30]
    assert not changed[60:].any()
    assert not changed[:, 60:].any()
    assert (people.draw(image, order="rgb", threshold=0.1) != image).any(axis=2)[90, 100]
    np.testing.assert_array_equal(people.draw(image, order="rgb", threshold=0.95), image)


def test_people_outside_the_image() -> None:
    image = photograph(60, 50)
    people = _poses(people=3)
    outside = replace(people, keypoints=people.keypoints + 1000)
    np.testing.assert_array_equal(outside.draw(image, order="rgb"), image)
    # One half outside is cut, not refused.
    across = replace(people, keypoints=people.keypoints - 60)
    assert (across.draw(image, order="rgb") != image).any()


def test_a_huge_person() -> None:
    image = np.zeros((60, 50, 3), np.uint8)
    keypoints = np.full((1, 17, 2), 1e9, np.float32)
    keypoints[0, 5], keypoints[0, 7] = (-1e9, 30), (1e9, 30)
    people = replace(
        _poses(), keypoints=keypoints, raw_scores=np.ones((1, 17), np.float32),
        boxes=np.array([[-1e9, -1e9, 2e9, 2e9]]),
    )  # fmt: skip
    drawn = people.draw(image, order="rgb")
    assert drawn[30].any(axis=1).all()
    assert not drawn[0].any()
    largest = np.finfo(np.float32).max
    keypoints[0, :9] = largest
    keypoints[0, 9:] = -largest
    people.draw(image, order="rgb")


# --- Pictures ----------------------------------------------------------------------------------


def test_arrays_give_arrays_and_are_left_alone() -> None:
    image = photograph(120, 140)
    people = _poses(people=2)
    before = image.copy()
    drawn = people.draw(image, order="rgb")
    assert drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous
    np.testing.assert_array_equal(image, before)
    image.flags.writeable = False
    np.testing.assert_array_equal(people.draw(image, order="rgb"), drawn)
    wide = np.zeros((120, 200, 3), np.uint8)
    wide[:, :140] = image
    np.testing.assert_array_equal(people.draw(wide[:, :140], order="rgb"), drawn)
    bgr = people.draw(image[..., ::-1], order="bgr")
    np.testing.assert_array_equal(bgr[..., ::-1], drawn)


def test_arrays_are_drawn_on_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    image = photograph(120, 140)
    assert (_poses().draw(image, order="rgb") != image).any()


def test_files_and_pil_images_give_pil_images(photo: NDArray[np.uint8], photo_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    people = _poses(people=2)
    wanted = people.draw(photo, order="rgb")
    for given in (photo_path, str(photo_path), pil.open(photo_path), pil.fromarray(photo)):
        drawn = people.draw(given)
        assert drawn.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(drawn), wanted)


def test_a_picture_of_another_size_is_refused(
    estimator: PoseEstimator, photo: NDArray[np.uint8]
) -> None:
    people = estimator(photo, [[20, 10, 60, 80], [5, 5, 90, 90]], order="rgb")
    assert people.image_size == (160, 120)
    for some in (people, people[:1], people[[1]]):
        some.draw(photo, order="rgb")
        with pytest.raises(
            ValueError, match=r"image is 160 x 60 .* poses were found in one of 160 x 120; wanted"
        ):
            some.draw(photo[::2], order="rgb")
    with pytest.raises(ValueError, match=r"120 x 160 .*lies on its side, exif= is to be what it"):
        people.draw(photo.transpose(1, 0, 2), order="rgb")
    # Whoever scales the poses says so.
    replace(people, keypoints=people.keypoints / 2, image_size=(80, 60)).draw(
        photo[::2, ::2], order="rgb"
    )
    replace(people, image_size=None).draw(photo[::2], order="rgb")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"image": np.zeros((4, 5, 3))}, TypeError, "image has dtype float64; it must be uint8"),
        ({"image": np.zeros((4, 5, 4), np.uint8)}, ValueError, r"image has shape \(4, 5, 4\)"),
        ({"image": np.zeros((4, 9, 3), np.uint8)[:, ::2]}, ValueError, "image .*not C-contiguous"),
        ({"image": np.broadcast_to(np.uint8(0), (1, 1, 3))}, ValueError, "image .*"),
        ({"ends": np.zeros((1, 4))}, ValueError, r"ends has shape \(1, 4\); it must be \(N, 2, 2"),
        ({"ends": np.zeros((1, 2, 3))}, ValueError, r"ends has shape \(1, 2, 3\)"),
        ({"ends": np.full((1, 2, 2), np.nan)}, ValueError, r"ends\[0\] holds nan; every number"),
        ({"ends": np.full((1, 2, 2), 1e200)}, ValueError, r"ends\[0\] holds 1e\+200"),
        ({"radii": np.zeros(2)}, ValueError, r"radii has shape \(2,\); it must be \(1,\)"),
        ({"radii": np.full(1, -1.0)}, ValueError, r"radii\[0\] is -1; it must be 0 or more"),
        ({"radii": np.full(1, np.nan)}, ValueError, r"radii\[0\] is nan"),
        ({"colours": np.zeros((1, 4), np.uint8)}, ValueError, r"colours has shape \(1, 4\)"),
    ],
)
def test_bad_lines(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    given: dict[str, Any] = {
        "image": np.zeros((4, 5, 3), np.uint8), "ends": np.zeros((1, 2, 2)),
        "radii": np.ones(1), "colours": np.ones((1, 3), np.uint8),
    }  # fmt: skip
    _core.draw_lines(**given)
    with pytest.raises(kind, match=words):
        _core.draw_lines(**{**given, **arguments})


def test_a_picture_that_cannot_be_written_to() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    image.flags.writeable = False
    with pytest.raises(ValueError, match="image cannot be written to; pass a copy"):
        _core.draw_lines(image, np.zeros((1, 2, 2)), np.ones(1), np.ones((1, 3), np.uint8))
