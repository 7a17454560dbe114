"""Image files that nobody vouches for: which formats are read, and what is said of the others."""

from __future__ import annotations

import io
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import photograph
from lpn_core.image.file import FORMATS, open_image
from lpn_core.image.load import load_image, read_image

Image = pytest.importorskip("PIL.Image")
features = pytest.importorskip("PIL.features")

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was started as another process, which the attempt does not survive."""
    started: list[object] = []

    def refuse(arguments: object, *_: object, **__: object) -> None:
        started.append(arguments)
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    return started


@pytest.mark.parametrize("name", ["photo.jpg", "photo.eps", "photo"])
def test_postscript_reaches_no_other_program(
    name: str, tmp_path: Path, programs: list[object]
) -> None:
    path = tmp_path / name
    path.write_bytes(EPS)
    with pytest.raises(ValueError, match=r"photo.*: not an image that can be read; wanted one of"):
        load_image(path)
    assert programs == []


def test_postscript_in_a_shard_reaches_no_other_program(
    tmp_path: Path, programs: list[object]
) -> None:
    pytest.importorskip("torch")
    crops = pytest.importorskip("lpn_training.data.crops")
    shards = pytest.importorskip("lpn_training.data.shards")
    path = tmp_path / "a-000.tar"
    shards.write_shard(
        path, [shards.Encoded("k", "webp", EPS, {"source": "a", "box": [0, 0, 9, 9]})]
    )
    (sample,) = shards.open_shard(path)
    with pytest.raises(ValueError, match=r"member k\.webp cannot be decoded: the image: not an"):
        crops.decode_samples([sample], 9, 9)
    assert programs == []


@pytest.mark.parametrize("kind", ["ICO", "PCX", "SGI", "XBM"])
def test_other_formats_of_pillow_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("1" if kind == "XBM" else "RGB", (64, 64)).save(path, kind)
    with Image.open(path) as opened:
        assert opened.format == kind
    with pytest.raises(ValueError, match=r"photo\.png: not an image that can be read"):
        load_image(path)


def test_the_formats_are_told_by_content(tmp_path: Path) -> None:
    pixels = photograph(40, 30)
    kinds = {"PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "TGA", "DIB"}
    kinds |= {"WEBP"} if features.check("webp") else set()
    kinds |= {"JPEG2000"} if features.check("jpg_2000") else set()
    kinds |= {"AVIF"} if features.check("avif") else set()
    assert kinds <= set(FORMATS)
    for kind in kinds:
        path = tmp_path / f"{kind}.txt"
        Image.fromarray(pixels).save(path, kind)
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(load_image(path)[0], expected, err_msg=kind)
        with path.open("rb") as file, open_image(file, kind) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)
            assert not file.closed


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_more_frames_are_not_left_out_silently(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Image.fromarray(photograph()), Image.fromarray(photograph(seed=4))
    several, single = tmp_path / "several", tmp_path / "single"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    first.save(several, kind, save_all=True, append_images=[second], **lossless)
    first.save(single, kind, **lossless)
    with caplog.at_level("WARNING", "lpn_core"):
        alone, found = read_image(single), read_image(several)
    assert (alone.first_frame_only, found.first_frame_only) == (False, True)
    np.testing.assert_array_equal(found.pixels, alone.pixels)
    assert caplog.messages == [f"{several}: holds several frames; the first one is taken"]


def test_what_follows_a_cameras_photograph_is_no_frame(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, preview = Image.fromarray(photograph()), Image.fromarray(photograph(24, 32))
    path = tmp_path / "camera.jpg"
    first.save(path, "MPO", save_all=True, append_images=[preview])
    pixels, first_frame_only = read_image(path)
    assert pixels.shape == (120, 160, 3)
    assert not first_frame_only
    assert caplog.messages == []


def test_large_files_are_read_or_named_without_a_warning_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(photograph()).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120 * 160 // 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_image(path)[0].shape == (120, 160, 3)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120 * 160 // 2 - 1)
        with pytest.raises(ValueError, match=r"large\.png: 160 x 120 pixels; wanted at most 19,19"):
            load_image(path)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert load_image(path)[0].shape == (120, 160, 3)
    assert caught == []


def test_damage_is_named(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(photograph()).save(whole, "PNG")
    path = tmp_path / "cut.png"
    path.write_bytes(whole.getvalue()[:-3000])
    with pytest.raises(ValueError, match=r"cut\.png: a damaged image: "):
        load_image(path)
    for content in (b"", b"\xff\xd8\xff", b"GIF89a"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.png: "):
            load_image(path)


def test_a_turned_tiff_is_not_garbled(tmp_path: Path) -> None:
    """As Image.open does (Pillow 13) where it maps grey pixels into memory."""
    stored = photograph(6, 4)[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.tiff"
    Image.fromarray(stored).save(path, exif=exif)
    np.testing.assert_array_equal(load_image(path)[0][..., 0], np.rot90(stored, -1))


def test_what_pillow_calls_a_wrong_value_is_named(tmp_path: Path) -> None:
    plugin = pytest.importorskip("PIL.PngImagePlugin")
    text = plugin.PngInfo()
    text.add_text("comment", "x" * (plugin.MAX_TEXT_CHUNK + 1), zip=True)
    path = tmp_path / "text.png"
    Image.fromarray(photograph()).save(path, pnginfo=text)
    with pytest.raises(
        ValueError, match=r"text\.png: a damaged image: Decompressed data too large"
    ):
        load_image(path)
