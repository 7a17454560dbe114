"""Images as callers have them; and the crop against a float64 reference."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from lpn_core import preprocess
from lpn_core.image.load import load_image
from lpn_core.model.spec import InputSpec
from numpy.typing import NDArray

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def test_files_with_any_path(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "中文 ünïcode.png"
    Image.fromarray(photo).save(path)
    for given in (path, str(path)):
        pixels, order = load_image(given)
        assert order == "rgb"
        np.testing.assert_array_equal(pixels, photo, strict=True)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBX", "CMYK", "YCbCr"])
def test_pil_modes_are_converted(mode: str, photo: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photo).convert(mode)
    pixels, order = load_image(image)
    assert order == "rgb"
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")), strict=True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff"])
def test_grey_files(suffix: str, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(photo).convert("L").save(path)
    pixels, _ = load_image(path)
    assert pixels.shape == photo.shape
    assert pixels.dtype == np.uint8
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:8, :8] = (255, 0, 0)
    # What a camera stores so that the tag's transposition brings it back.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / "photo.png"
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    np.testing.assert_array_equal(load_image(path)[0], upright)
    np.testing.assert_array_equal(load_image(path, exif=False)[0], stored)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_image(image)[0], upright)
        np.testing.assert_array_equal(load_image(image, exif=False)[0], stored)
        # Who turns it first does not see it turned twice.
        np.testing.assert_array_equal(load_image(ImageOps.exif_transpose(image))[0], upright)


def _transparent(mode: str) -> tuple[Any, NDArray[np.float64]]:
    """An image of a mode with some kind of transparency, and what it shows over white."""
    rgba = np.random.default_rng(0).integers(0, 256, (12, 20, 4), np.uint8)
    rgba[:4, :, 3], rgba[4:6, :, 3] = 255, 0
    image = Image.fromarray(rgba)
    if mode in ("LA", "La"):
        image = image.convert("LA")
        rgba = np.asarray(image.convert("RGBA"))
    elif mode in ("P", "L", "RGB"):  # one of their colours is none
        image = image.convert("RGB").quantize(8) if mode == "P" else image.convert(mode)
        shown = np.array(image.convert("RGBA"))
        first = np.asarray(image)[0, 0]
        image.info["transparency"] = tuple(map(int, first)) if mode == "RGB" else int(first)
        shown[..., 3] = 255 * (np.asarray(image) != first).reshape(12, 20, -1).any(axis=2)
        assert 0 < (shown[..., 3] == 0).sum() < 240
        rgba = shown
    if mode in ("PA", "La", "RGBa"):
        image = image.convert(mode)
        rgba = np.asarray(image.convert("LA" if mode == "La" else mode).convert("RGBA"))
    alpha = rgba[..., 3:] / 255.0
    return image, rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa", "P", "L", "RGB"])
def test_what_is_transparent_is_over_white(mode: str, tmp_path: Path) -> None:
    image, wanted = _transparent(mode)
    pixels, order = load_image(image)
    assert order == "rgb"
    assert np.abs(pixels - wanted).max() <= 0.5
    if mode in ("RGBA", "LA", "P", "L", "RGB"):  # those that a file can have
        path = tmp_path / "a.png"
        image.save(path)
        np.testing.assert_array_equal(load_image(path)[0], pixels)


def test_a_pil_image_that_cannot_be_read(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    with Image.open(path) as closed:
        pass
    with pytest.raises(ValueError, match="the PIL image is damaged, or its file was closed before"):
        load_image(closed)
    path.write_bytes(path.read_bytes()[:2000])
    with Image.open(path) as short, pytest.raises(ValueError, match="the PIL image is damaged, or"):
        load_image(short)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, ::-1],
        lambda a: a[::-1],
        lambda a: a[..., ::-1],
        lambda a: a[::2, ::3],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
        lambda a: np.broadcast_to(a[:1], a.shape),
    ],
)
def test_arrays_of_any_strides(view: Callable[..., Any], photo: NDArray[np.uint8]) -> None:
    given = view(photo)
    pixels, order = load_image(given, order="bgr")
    assert order == "bgr"
    np.testing.assert_array_equal(pixels, np.ascontiguousarray(given), strict=True)
    assert pixels.strides[1:] == (3, 1)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(photo.copy()).permute(1, 0, 2)
    turned, _ = load_image(tensor, order="bgr")
    np.testing.assert_array_equal(turned, photo.transpose(1, 0, 2))


def test_arrays_are_not_copied(photo: NDArray[np.uint8]) -> None:
    pixels, order = load_image(photo, order="bgr")
    assert order == "bgr"
    assert np.shares_memory(pixels, photo)
    window = photo[10:50, 20:90]
    assert np.shares_memory(load_image(window, order="rgb")[0], window)


def test_dlpack(photo: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(photo.copy())
    pixels, _ = load_image(tensor, order="rgb")
    np.testing.assert_array_equal(pixels, photo)
    assert pixels.__array_interface__["data"][0] == tensor.data_ptr()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("network_order", ["rgb", "bgr"])
def test_crop(order: str, network_order: str, photo: NDArray[np.uint8]) -> None:
    spec = InputSpec(channel_order=network_order, height=64, width=48)
    boxes = np.array([[10.0, 5, 60, 90], [-40, -30, 80, 50], [120.25, 70.5, 90, 90]])
    given = photo if order == "rgb" else np.ascontiguousarray(photo[..., ::-1])
    crops = preprocess.crop(given, order, preprocess.regions(boxes, spec), spec)
    centres, sizes = reference.padded_box(boxes, 48 / 64, 1.25)
    for crop, centre, size in zip(crops, centres, sizes, strict=True):
        grey = reference.bilinear_crop(photo, reference.crop_matrix(centre, size, 48, 64), 64, 48)
        if network_order == "bgr":
            grey = grey[..., ::-1]
        # Mean and std belong to the network's channels, in the network's order.
        wanted = (grey / 255 - np.array(spec.mean)) / np.array(spec.std)
        # A thousandth of a grey level.
        assert np.abs(crop - wanted).max() <= 1e-3 / 255 / min(spec.std)


def test_crop_of_a_window_of_a_larger_image(photo: NDArray[np.uint8]) -> None:
    spec = InputSpec(channel_order="rgb", height=64, width=48)
    window = photo[10:90, 20:120]
    where = preprocess.regions(np.array([[-5.0, 3, 70, 60]]), spec)
    np.testing.assert_array_equal(
        preprocess.crop(window, "rgb", where, spec),
        preprocess.crop(np.ascontiguousarray(window), "rgb", where, spec),
    )


def test_regions_and_their_inverse() -> None:
    spec = InputSpec(channel_order="rgb")
    # Wide, tall and exact boxes: the shorter side grows to 192:256, both by 1.25.
    boxes = np.array([[0.0, 0, 192, 64], [10, 20, 30, 256], [5, 5, 96, 128]])
    where = preprocess.regions(boxes, spec)
    np.testing.assert_allclose(where.sizes, [[240, 320], [240, 320], [120, 160]])
    np.testing.assert_allclose(where.centers, [[96, 32], [25, 148], [53, 69]])
    middle = np.full((3, 1, 2), (24, 32), np.float32)
    np.testing.assert_allclose(where.to_image(middle, 64, 48)[:, 0], where.centers)
    points = np.random.default_rng(0).uniform(0, 48, (3, 5, 2))
    matrices = where.matrices(64, 48)
    direct = np.einsum("nij,nkj->nki", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    np.testing.assert_allclose(where.to_image(points, 64, 48), direct, rtol=1e-12)


def test_clip_box() -> None:
    boxes = np.array([[-10.0, 5, 50, 20], [90, 70, 40, 40], [10, 10, 5, 5], [200, 10, 5, 5]])
    wanted = [[0, 5, 49, 19], [90, 70, 9, 9], [10, 10, 4, 4], [200, 10, -101, 4]]
    np.testing.assert_allclose(preprocess.clip_box(boxes, 100, 80), wanted)


@pytest.mark.parametrize(
    ("boxes", "shape"),
    [([], (0, 4)), ([[]], (0, 4)), (np.zeros((0, 4)), (0, 4)), (np.zeros((0, 5)), (0, 4))],
)
def test_empty_boxes(boxes: object, shape: tuple[int, int]) -> None:
    found, scores = preprocess.check_boxes(boxes)
    assert found.shape == shape
    assert scores.shape == (0,)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (0, 6), (2, 0), (0, 1, 4), (1, 0, 4)])
def test_empty_arrays_that_are_not_boxes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"boxes have shape \(.*; wanted \(N, 4\), or \(N, 5\)"):
        preprocess.check_boxes(np.zeros(shape))


@pytest.mark.parametrize("columns", [4, 5])
def test_boxes_of_any_memory_order(columns: int) -> None:
    rows = np.random.default_rng(0).uniform(1, 50, (7, columns))
    wanted = preprocess.check_boxes(rows)
    for given in (
        np.asfortranarray(rows), np.ascontiguousarray(rows.T).T, rows[::-1][::-1],
        np.repeat(rows, 2, axis=1)[:, ::2], rows.astype(">f8"), rows.astype(np.longdouble),
        rows.tolist(),
    ):  # fmt: skip
        for found, expected in zip(preprocess.check_boxes(given), wanted, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_box_formats_and_scores() -> None:
    found, scores = preprocess.check_boxes([[10, 20, 30, 60, 0.5]], "xyxy")
    assert found.tolist() == [[10, 20, 20, 40]]
    assert scores.tolist() == [0.5]
    found, scores = preprocess.check_boxes(np.array([[1, 2, 3, 4]], np.int16))
    assert found.tolist() == [[1, 2, 3, 4]]
    assert scores.tolist() == [1.0]


def test_whatever_pillow_raises_is_a_damaged_image(
    tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    for error in (struct.error("short"), TypeError("a float"), IndexError("beyond")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("PIL.Image.Image.getexif", fail)
        with pytest.raises(ValueError, match=r"a\.png: a damaged image: "):
            load_image(path)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (io.BytesIO(b"x"), r"image is BytesIO; wanted a path.*PIL\.Image\.open\(image\) opens it"),
        (b"x", r"image is bytes; wanted a path.*open\(io\.BytesIO\(image\)\) opens it"),
        (["a.jpg", "b.jpg"], "image is list; wanted a path.*one image at a time"),
        (None, "image is NoneType; wanted a path"),
    ],
)
def test_what_is_no_image_is_named_before_its_order(image: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        load_image(image)


def test_8_bit_modes_beside_rgb() -> None:
    rgb = Image.new("RGB", (3, 2), (200, 100, 50))
    pixels, _ = load_image(rgb.convert("HSV"))
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 3
    with pytest.raises(ValueError, match=r"PIL mode 'LAB'; wanted RGB, which PIL\.ImageCms"):
        load_image(Image.new("LAB", (3, 2)))
