"""lpn quantize: what it asks of its pictures, and that nothing is lost where it fails."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import photograph
from lpn_core import Model, model_file, quantize
from lpn_core.cli import quantize as verb
from lpn_core.cli.app import lpn
from lpn_core.cli.calibration_people import CalibrationPeople, cut, split
from lpn_core.evaluation import ImagePeople
from lpn_core.image import regions
from lpn_core.image.load import load_image
from lpn_core.quantization.judge import Speed
from lpn_core.quantization.quantize import with_heatmaps_hash
from PIL import Image
from test_quantized_file import quantized_model_file


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(lpn, ["quantize", *map(str, arguments)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(40):
        Image.fromarray(photograph(64, 48, seed=number)).save(folder / f"{number:02}.png")
    return folder


def test_too_few_pictures(tiny_path: Path, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(np.zeros((64, 48, 3), np.uint8)).save(tmp_path / f"{number}.png")
    output = tmp_path / "out.safetensors"
    result = _run(tiny_path, "--images", tmp_path, "-o", output)
    assert result.exit_code == 2
    assert (
        "the 3 pictures show 3 people, too few to find scales on; wanted at least 32"
        in " ".join(result.stderr.split())
    )
    assert not output.exists()


def test_pictures_without_people(tiny_path: Path, pictures: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({f"{number:02}.png": [] for number in range(40)}))
    output = tmp_path / "out.safetensors"
    result = _run(tiny_path, "--images", pictures, "--boxes", boxes, "-o", output)
    assert result.exit_code == 2
    assert "has no box of anybody in the 40 pictures" in " ".join(result.stderr.split())
    assert not output.exists()


def test_a_folder_without_pictures(tiny_path: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = _run(tiny_path, "--images", empty, "-o", tmp_path / "out.safetensors")
    assert result.exit_code == 2
    assert "holds no images" in result.stderr


def test_boxes_and_annotations_contradict(tiny_path: Path, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    result = _run(
        tiny_path, "--images", pictures, "--boxes", file, "--annotations", file, "-o",
        tmp_path / "out.safetensors",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "both say where people are" in result.stderr


def test_the_model_is_not_written_over(tiny_path: Path, pictures: Path) -> None:
    before = tiny_path.read_bytes()
    result = _run(tiny_path, "--images", pictures, "-o", tiny_path)
    assert result.exit_code == 2
    assert "is read, and would be lost" in " ".join(result.stderr.split())
    assert tiny_path.read_bytes() == before


@pytest.mark.parametrize("option", ["--boxes", "--annotations"])
@pytest.mark.parametrize("suffix", ["", ".worst.png"])
def test_what_is_read_is_not_written_over(
    option: str, suffix: str, tiny_path: Path, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "people"
    given = tmp_path / f"people{suffix}"
    given.write_text("{}")
    result = _run(tiny_path, "--images", pictures, option, given, "-o", output)
    assert result.exit_code == 2
    assert "is read, and would be lost" in " ".join(result.stderr.split())
    assert given.read_text() == "{}"


def test_a_picture_of_another_kind_stays(tiny_path: Path, pictures: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.worst.png"
    Image.new("RGB", (8, 8)).save(picture)
    before = picture.read_bytes()
    result = _run(tiny_path, "--images", pictures, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no picture of worst crops; wanted another name" in " ".join(result.stderr.split())
    assert picture.read_bytes() == before


@pytest.mark.usefixtures("speed")
def test_a_picture_that_cannot_be_written(
    plain_path: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: object) -> None:
        assert path == tmp_path / "lpn.v2.worst.png"
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(verb, "write_atomically", fail)
    output = tmp_path / "lpn.v2"
    result = _whole(plain_path, "--images", pictures, "-o", output)
    assert result.exit_code == 0
    assert f"{output}: {output.stat().st_size:,} bytes" in result.stderr
    assert "warning: the worst crops are not drawn: " in result.stderr
    assert "No space left on device" in result.stderr
    assert model_file.read(output).quantization is not None


def test_integers_alone_are_not_quantized_again(pictures: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "integers.safetensors", tmp_path / "out.safetensors"
    model_file.write(path, quantized_model_file(), "int8")
    words = "has integers alone, whose float weights are rounded already; wanted the model"
    result = _run(path, "--images", pictures, "-o", output)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not output.exists()
    found = model_file.read(path)
    crops = np.zeros((32, found.input.height, found.input.width, 3), np.uint8)
    with pytest.raises(ValueError, match=words):
        quantize(found, crops)


def test_a_folder_that_is_missing_is_noticed_first(
    tiny_path: Path, pictures: Path, tmp_path: Path
) -> None:
    result = _run(tiny_path, "--images", pictures, "-o", tmp_path / "absent" / "x.safetensors")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


@pytest.fixture
def plain_path(tmp_path: Path) -> Path:
    """A small network without scales."""
    full = quantized_model_file()
    nodes = tuple(replace(node, weights=node.weights[:2]) for node in full.graph.nodes)
    weights = {name: w for name, w in full.weights.items() if not name.endswith("scale")}
    path = tmp_path / "plain.safetensors"
    graph = replace(full.graph, nodes=nodes)
    model_file.write(path, replace(full, graph=graph, weights=weights, quantization=None))
    return path


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> list[Speed]:
    """What is said to be measured: the last entry."""
    said = [Speed(2e-3, 1e-3)]
    monkeypatch.setattr(verb, "measure", lambda *_: said[-1])
    return said


def _whole(*arguments: object, json_too: bool = True) -> Result:
    return _run(*arguments, "--threads", 1, *(["--json"] if json_too else []))


@pytest.mark.usefixtures("speed")
def test_both_forms(plain_path: Path, pictures: Path, tmp_path: Path) -> None:
    both, alone = tmp_path / "both.safetensors", tmp_path / "alone.safetensors"
    first = _whole(plain_path, "--images", pictures, "-o", both)
    assert first.exit_code == 0, first.stderr
    second = _whole(plain_path, "--images", pictures, "--only", "int8", "-o", alone)
    assert second.exit_code == 0, second.stderr
    document = json.loads(first.stdout)
    assert (document["crops"], document["judged_crops"]) == (40, 40)
    assert not document["judged_apart"]
    assert document["refused"] == []
    assert document["accuracy"] is None
    assert [layer["name"] for layer in document["layers"]] == ["stem", "up", "head"]
    for layer in document["layers"]:
        assert layer["weight_snr"] > 30
        assert layer["snr"] is None or layer["snr"] > 15
        assert layer["fp32_ms"] is not None or layer["name"] != "head"
    assert document["drift"]["heatmap_error"] < 0.1
    crops = model_file.read(both).self_test.crops
    with (
        Model(model_file.read(plain_path), threads=1) as plain,
        Model(model_file.read(both), threads=1) as floats,
        Model(model_file.read(both), threads=1, precision="int8") as integers,
        Model(model_file.read(alone), threads=1, precision="int8") as small,
    ):
        np.testing.assert_array_equal(plain(crops), floats(crops))
        np.testing.assert_array_equal(integers(crops), small(crops))
    with Image.open(tmp_path / "both.safetensors.worst.png") as picture:
        assert picture.size == (5 * 48, 2 * 64)
    assert alone.stat().st_size < both.stat().st_size
    # The same again, byte for byte.
    before = both.read_bytes()
    assert _whole(plain_path, "--images", pictures, "-o", both).exit_code == 0
    assert both.read_bytes() == before


@pytest.mark.usefixtures("speed")
@pytest.mark.parametrize("only", [(), ("--only", "int8")])
def test_what_is_written_passes_its_self_test(
    plain_path: Path, pictures: Path, tmp_path: Path, only: tuple[str, ...]
) -> None:
    output = tmp_path / "out.safetensors"
    assert _whole(plain_path, "--images", pictures, *only, "-o", output).exit_code == 0
    for precision in ("fp32", "bf16", "int8"):
        result = CliRunner().invoke(lpn, ["verify", str(output), "--precision", precision])
        assert result.exit_code == 0, result.stdout
        if precision == "fp32":
            assert "(limit 0.05)" in result.stdout


@pytest.mark.usefixtures("speed")
def test_the_report_as_text(plain_path: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    result = _whole(plain_path, "--images", pictures, "-o", output, json_too=False)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["layer", "precision"]
    assert [line.split()[0] for line in lines[1:4]] == ["stem", "up", "head"]
    assert "scales from 40 crops, judged on 40 of them" in result.stdout
    assert "drift in heatmap px: median" in result.stdout
    assert "one crop: 2.00 ms in fp32, 1.00 ms in int8 (2.00 x)" in result.stdout
    assert f"{output}: {output.stat().st_size:,} bytes" in result.stderr


def test_a_slower_network_is_refused(
    plain_path: Path, pictures: Path, tmp_path: Path, speed: list[Speed]
) -> None:
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"what was there")
    speed.append(Speed(1e-3, 2e-3))
    result = _whole(plain_path, "--images", pictures, "-o", output)
    assert result.exit_code == 1
    assert "is not written: int8 takes 2.00 ms here, fp32 1.00 ms" in result.stderr
    assert "are rounded most coarsely" in result.stderr
    assert len(json.loads(result.stdout)["refused"]) == 1
    assert output.read_bytes() == b"what was there"


@pytest.mark.usefixtures("speed")
def test_a_full_disk_loses_nothing(
    plain_path: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"what was there")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(output))

    monkeypatch.setattr("lpn_core._files.os.fsync", fail)
    monkeypatch.setattr("pathlib.Path.replace", fail)
    result = _whole(plain_path, "--images", pictures, "-o", output)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert output.read_bytes() == b"what was there"
    assert not list(tmp_path.glob(".*.tmp"))


def test_pictures_are_parted_where_there_are_enough() -> None:
    nobody = np.zeros((0, 4)), np.zeros(0)

    def people(count: int) -> CalibrationPeople:
        images = tuple(ImagePeople(i, Path(f"{i}.png"), *nobody) for i in range(count))
        return CalibrationPeople(images, whole=True)

    first, second, apart = split(people(500), 100)
    assert apart
    assert (len(first), len(second)) == (100, 100)
    assert all(image.image_id % 2 == 0 for image in first)
    assert all(image.image_id % 2 == 1 for image in second)
    assert first[-1].image_id > 480
    first, second, apart = split(people(63), 100)
    assert not apart
    assert first == second
    assert len(first) == 63


def test_crops_are_those_of_the_engine_in_bytes(pictures: Path) -> None:
    spec = quantized_model_file().input
    boxes = np.array([[3.0, 5.0, 20.0, 40.0], [0.0, 0.0, 48.0, 64.0]])
    image = ImagePeople(0, pictures / "03.png", boxes, np.ones(2))
    people = CalibrationPeople((image,))
    found = cut(people, [image], spec, 10, 1, lambda images: images)
    pixels, order = load_image(image.path)
    wanted = regions.crop(pixels, order, regions.regions(boxes, spec), spec)
    back = (wanted - np.array(spec.shift)) / np.array(spec.scale)
    assert np.abs(found - back).max() <= 0.5 + 1e-3
    assert len(cut(people, [image], spec, 1, 1, lambda images: images)) == 1


def test_verify_holds_heatmaps_to_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    file = with_heatmaps_hash(quantized_model_file())
    model_file.write(path, file)
    result = CliRunner().invoke(lpn, ["verify", str(path)])
    assert result.exit_code == 0, result.stdout
    assert "heatmaps in int8 equal to the bit" in result.stdout
    # The joints of drawn crops may be anywhere: in int8 the bits are what counts.
    moved = model_file.SelfTest(file.self_test.crops, file.self_test.keypoints + 100)
    model_file.write(path, replace(file, self_test=moved))
    assert CliRunner().invoke(lpn, ["verify", str(path), "--precision", "int8"]).exit_code == 0
    assert CliRunner().invoke(lpn, ["verify", str(path)]).exit_code == 1
    assert file.quantization is not None
    wrong = replace(file.quantization, heatmaps_sha256="0f" * 32)
    model_file.write(path, replace(file, quantization=wrong))
    result = CliRunner().invoke(lpn, ["verify", str(path), "--json"])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["passed"] is False
    assert document["int8_bits"] == "different"


def test_info_shows_the_quantization(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    file = quantized_model_file()
    model_file.write(path, file)
    result = CliRunner().invoke(lpn, ["info", str(path), "--json"])
    document = json.loads(result.stdout)
    assert document["quantization"] == {
        "maps": 2,
        "products": 3,
        "float_nodes": [],
        "images": 32,
        "heatmaps_sha256": "0f" * 32,
    }
    scales = sum(a.size for name, a in file.weights.items() if name.endswith("weight_scale"))
    everything = sum(array.size for array in file.weights.values())
    assert document["parameters_folded"] == everything - scales
    text = CliRunner().invoke(lpn, ["info", str(path)])
    assert "quantization:" in text.stdout
