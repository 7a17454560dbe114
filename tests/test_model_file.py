"""The model file against itself, and documents that are not what they should be."""

from __future__ import annotations

import copy
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assemble, assert_same, tiny_model_file
from lpn_core import COCO17, KeypointSet, load, model_file
from lpn_core.model import safetensors as safetensors_file
from lpn_core.model.file import _crc32c as crc_of
from lpn_core.model.file import _digest as digest_of
from lpn_core.model.keypoint_sets import dump_keypoints, load_keypoints
from lpn_core.model.safetensors import StoredTensor
from lpn_core.model_file import ModelFileError


@pytest.mark.parametrize("keypoint_set", ["coco17", "mpii16", "crowdpose14"])
def test_round_trip(keypoint_set: str, tmp_path: Path) -> None:
    wanted = tiny_model_file(keypoint_set)
    path = tmp_path / "モデル 1.safetensors"
    model_file.write(path, wanted)
    assert_same(model_file.read(path), wanted)
    first = path.read_bytes()
    model_file.write(path, model_file.read(path))
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_bfloat16_rounds_matrices_only(tiny: model_file.ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    model_file.write(path, tiny, "bfloat16")
    found = model_file.read(path)
    rounded = model_file.round_weights(tiny.weights, "bfloat16")
    assert_same(found, replace(tiny, weights=rounded))
    assert not np.array_equal(rounded["head.weight"], tiny.weights["head.weight"])
    np.testing.assert_array_equal(rounded["head.bias"], tiny.weights["head.bias"])


def _document(path: Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    tensors, metadata = safetensors_file.read(path)
    return json.loads(metadata["lpn_core"]), tensors


def _rewrite(path: Path, document: object, tensors: dict[str, StoredTensor]) -> None:
    """Writes a document with the checksums that belong to it."""
    text = document if isinstance(document, str) else json.dumps(document)
    metadata = {
        "lpn_core": text,
        "lpn_core_sha256": digest_of(text, tensors),
        "lpn_core_crc32c": crc_of(text, tensors),
    }
    assemble(path, metadata, tensors)


def test_every_missing_field_is_named(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    paths: list[tuple[str, ...]] = []
    for key in list(document):
        if isinstance(document[key], dict):
            paths += [(key, inner) for inner in document[key]]
        else:
            paths.append((key,))
    path = tmp_path / "cut.safetensors"
    for where in paths:
        cut = json.loads(json.dumps(document))
        parent = cut if len(where) == 1 else cut[where[0]]
        del parent[where[-1]]
        _rewrite(path, cut, tensors)
        with pytest.raises(ModelFileError, match=f"missing fields: {'.'.join(where)}$"):
            model_file.read(path)


def test_all_missing_fields_are_listed_at_once(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    del document["decode"]["beta"], document["input"]["mean"], document["provenance"]["ap"]
    del document["graph"]["nodes"][0]["inputs"]
    document["input"]["size"] = 3
    document["name"] = 5
    path = tmp_path / "cut.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError) as caught:
        model_file.read(path)
    for words in (
        "missing fields: input.mean, decode.beta, provenance.ap, graph.nodes[0].inputs",
        "unknown fields: input.size",
        "wrong fields: name (wanted a string of valid Unicode)",
    ):
        assert words in str(caught.value)


WRONG = {
    "version": ("format_version", 4, "format_version is 4; this lpn_core reads 1 to 3"),
    "version without its fields": ("format_version", 3, "missing fields: .*quantization"),
    "height of 0": ("input.height", 0, "input height is 0"),
    "huge width": ("input.width", 10**30, "wrong fields: input.width"),
    "channel order": ("input.channel_order", "grb", "channel_order is 'grb'; wanted 'rgb' or"),
    "two means": ("input.mean", [0.1, 0.2], "input mean is .* wanted three"),
    "std of 0": ("input.std", [0.1, 0.0, 0.1], "input std is 0.0; wanted a number from 1e-06"),
    "tiny std": ("input.std", [1, 1, 1e-300], "input std is 1e-300; wanted a number from 1e-06"),
    "huge std": ("input.std", [10**299, 1, 1], "input std is 10+; wanted .* to 1e.06"),
    "huge mean": ("input.mean", [0, -1e30, 0], r"input mean is \[0, -1e\+30, 0\]; wanted"),
    "infinite mean": ("input.mean", [0, math.inf, 0], "wrong fields: input.mean .wanted a list of"),
    "negative padding": ("input.padding", -1, "padding is -1; wanted a number from 0.01 to 100"),
    "tiny padding": ("input.padding", 1e-300, "padding is 1e-300; wanted a number from 0.01"),
    "huge padding": ("input.padding", 1e300, r"padding is 1e\+300; wanted a number from 0.01"),
    "affine": ("input.affine", "corner", "affine is 'corner'; wanted 'center'"),
    "decode": ("decode.kind", "dark", "decode kind is 'dark'; wanted 'soft_argmax' or 'argmax'"),
    "argmax with beta": ("decode.kind", "argmax", "beta is 160.0; wanted null"),
    "no beta": ("decode.beta", None, "beta is None; wanted a number from 1e-06"),
    "tiny beta": ("decode.beta", 1e-300, "decode beta is 1e-300; wanted a number from 1e-06"),
    "huge beta": ("decode.beta", 1e300, r"decode beta is 1e\+300; wanted a number from 1e-06"),
    "quarter step of 1": ("decode.quarter_step", 1, "decode.quarter_step .wanted true or false."),
    "negative shift": ("decode.flip_shift", -1, "flip_shift is -1"),
    "huge shift": (
        "decode.flip_shift",
        12,
        "flip_shift is 12; wanted less than the heatmaps' width, 12 for an input 48 wide",
    ),
    "keypoints": ("keypoints", "coco18", "unknown keypoint set 'coco18'; known: coco17"),
    "other joints": (
        "keypoints",
        "mpii16",
        r"self_test.keypoints has lists of \[17, 17\] points; wanted \[16, 16\] for 'mpii16'",
    ),
    "AP of text": ("provenance.ap", "0.7", "provenance.ap .wanted a number or null."),
    "AP in percent": ("provenance.ap_flip", 34.9, "ap_flip is 34.9; wanted a number from 0 to 1"),
    "version of 400 digits": ("format_version", 10**400, "format_version is 10+[.]{3}0+; this"),
    "attribute of 400 digits": (
        "graph.nodes.0.attributes.stride",
        10**400,
        r"graph.nodes\[0\].attributes .wanted an object of numbers and strings: integers in 53",
    ),
    "attribute of true": (
        "graph.nodes.0.attributes.stride",
        True,
        r"nodes\[0\].attributes .wanted",
    ),
    "channels of 400 digits": ("graph.input.channels", 10**400, "fields: graph.input.channels .wa"),
    "nodes": ("graph.nodes", {}, "graph.nodes .wanted a list."),
    "node": ("graph.nodes", [7], r"graph.nodes\[0\] .wanted an object."),
    "no weights": ("graph.nodes", [], "left-over tensors: head.bias, head.weight"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_fields(case: str, tiny_path: Path, tmp_path: Path) -> None:
    where, value, words = WRONG[case]
    document, tensors = _document(tiny_path)
    *parents, last = where.split(".")
    target = document
    for key in parents:
        target = target[int(key) if isinstance(target, list) else key]
    target[last] = value
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError, match=words) as caught:
        model_file.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "point",
    [[1, 10**400], ["1", "2"], [True, False], [1, None], [1, math.nan], [1, 1e7], [1], [1, 2, 3]],
    ids=["400 digits", "strings", "booleans", "null", "NaN", "far away", "one", "three"],
)
def test_self_test_points_are_numbers(point: object, tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    document["self_test"]["keypoints"][1][5] = point
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError, match=r"wrong fields: self_test.keypoints .wanted numbers"):
        model_file.read(path)


def test_self_test_has_as_many_points_in_each_crop(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    document["self_test"]["keypoints"][1].pop()
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError, match=r"lists of \[17, 16\] points; wanted \[17, 17\]"):
        model_file.read(path)


OWN = {
    "name": "dog4",
    "names": ["nose", "left ear", "right ear", "tail"],
    "skeleton": [[0, 1], [0, 2]],
    "mirror_pairs": [[1, 2]],
    "sigmas": [0.025, 0.05, 0.05, 1],
}


def _own_file(path: Path) -> model_file.ModelFile:
    joints = load_keypoints(OWN)
    tiny = tiny_model_file(joints)
    model_file.write(path, tiny)
    return tiny


def test_keypoints_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    tiny = _own_file(path)
    found = model_file.read(path)
    assert found.keypoints == "dog4"
    assert found.keypoint_set == tiny.own_keypoint_set == KeypointSet(
        name="dog4", names=("nose", "left ear", "right ear", "tail"), skeleton=((0, 1), (0, 2)),
        mirror_pairs=((1, 2),), sigmas=(0.025, 0.05, 0.05, 1.0),
    )  # fmt: skip
    assert _document(path)[0]["keypoints"] == {**OWN, "sigmas": [0.025, 0.05, 0.05, 1.0]}
    poses = load(path)(np.zeros((64, 48, 3), np.uint8), whole_image=True, order="rgb")
    assert poses.keypoint_set == found.keypoint_set
    assert copy.deepcopy(found).keypoint_set == found.keypoint_set
    # Those that every reader knows go by name, as ever.
    assert dump_keypoints(COCO17) == "coco17"
    with pytest.raises(ValueError, match=r"keypoints is 'coco17'; own_keypoint_set is 'dog4'"):
        replace(tiny, keypoints="coco17")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "coco17", "keypoints.name: wanted a name of its own; 'coco17' is another set"),
        ("name", "", "keypoints.name: wanted a name of its own"),
        ("names", [], "keypoints.names: wanted a list of the joints' names"),
        ("names", ["a", "b", "c", 4], "keypoints.names: wanted a list"),
        ("names", ["a", "b", "c", "a"], "keypoints.names: wanted each name once"),
        ("names", ["a", "b", "c"], "keypoints.sigmas: wanted null, or 3 numbers from 1e-3 to 10"),
        ("skeleton", [[0, 4]], "keypoints.skeleton: wanted pairs of different joints from 0 to 3"),
        ("skeleton", [[0, 1, 2]], "keypoints.skeleton: wanted pairs"),
        ("skeleton", [[True, 2]], "keypoints.skeleton: wanted pairs"),
        ("skeleton", None, "keypoints.skeleton: wanted pairs"),
        ("mirror_pairs", [[1, 1]], "keypoints.mirror_pairs: wanted pairs of different joints"),
        ("mirror_pairs", [[1, 2], [2, 3]], "wanted each joint in one pair at most"),
        ("sigmas", [0.1] * 3, "keypoints.sigmas: wanted null, or 4 numbers from 1e-3 to 10"),
        ("sigmas", [0.1, 0.1, 0.1, 0], "keypoints.sigmas: wanted null"),
        ("more", 1, "wanted the name of a keypoint set, or an object of name, names, skeleton"),
    ],
)
def test_wrong_keypoints_of_ones_own(tmp_path: Path, field: str, value: Any, words: str) -> None:
    path = tmp_path / "own.safetensors"
    _own_file(path)
    document, tensors = _document(path)
    document["keypoints"][field] = value
    _rewrite(path, document, tensors)
    with pytest.raises(ModelFileError, match=re.escape(words)):
        model_file.read(path)


def _strings(tree: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Every string below, and every name of an attribute, by path: where it can be replaced."""
    found: dict[str, tuple[Any, Any]] = {}
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        where = f"{path}[{key}]" if isinstance(tree, list) else f"{path}.{key}".lstrip(".")
        if isinstance(value, str) or (where.startswith("provenance.") and "ap" not in where):
            found[where] = (tree, key)
        elif isinstance(value, dict | list):
            found.update(_strings(value, where))
    return found


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "raw"])
def test_lone_surrogates_anywhere(escaped: bool, tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    fields = _strings(document)
    assert {"name", "graph.nodes[0].name", "input.affine", "provenance.notes"} <= set(fields)
    fields["graph.nodes[0].attributes.new"] = (
        document["graph"]["nodes"][0]["attributes"],
        "\udfff",
    )
    fields["new"] = (document, "\udfff")
    for where, (parent, key) in fields.items():
        before = parent.get(key) if isinstance(parent, dict) else parent[key]
        parent[key] = "half a pair: \ud800"
        _rewrite(path, json.dumps(document, ensure_ascii=escaped), tensors)
        field = re.sub(r"\.attributes.*|(inputs|weights)\[.*", r"\1", where)
        with pytest.raises(ModelFileError) as caught:
            model_file.read(path)
        assert ("unknown fields: '" if where == "new" else field) in str(caught.value)
        assert str(caught.value).isprintable()
        parent[key] = before
        if where.endswith("new"):
            del parent[key]
    _rewrite(path, document, tensors)
    model_file.read(path)


def test_field_that_is_there_twice(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, json.dumps(document).replace("{", '{"name": "\\ud800", ', 1), tensors)
    with pytest.raises(ModelFileError, match="not sound JSON: it holds 'name' twice"):
        model_file.read(path)


def test_written_text_is_valid_unicode(tiny: model_file.ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelFileError, match=r"wrong fields: name .wanted a string of valid"):
        model_file.write(path, replace(tiny, name="\ud800"))
    with pytest.raises(ModelFileError, match=r"left-over tensors: '\\ud800'"):
        model_file.write(path, replace(tiny, weights={**tiny.weights, "\ud800": np.zeros(1, "f4")}))
    points = np.full((2, 17, 2), np.nan)
    with pytest.raises(ModelFileError, match=r"wrong fields: self_test\.keypoints"):
        model_file.write(path, replace(tiny, self_test=replace(tiny.self_test, keypoints=points)))
    assert list(tmp_path.iterdir()) == []


def test_wrong_tensors(tiny_path: Path, tmp_path: Path) -> None:
    document, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    bias = tensors["head.bias"]
    half = StoredTensor.from_array(bias.to_array().astype(np.float16))
    for changed, words in (
        ({k: v for k, v in tensors.items() if k != "head.bias"}, "missing tensors: head.bias"),
        ({**tensors, "extra": bias}, "left-over tensors: extra"),
        ({**tensors, "head.bias": half}, r"not F32 or BF16: head.bias \(F16\)"),
        (
            {**tensors, "self_test.crops": bias},
            r"self_test.crops is F32 \(17,\); wanted U8 \(2, 64",
        ),
        (
            {k: v for k, v in tensors.items() if k != "self_test.crops"},
            "'self_test.crops' is missing",
        ),
    ):
        _rewrite(path, document, changed)
        with pytest.raises(ModelFileError, match=words):
            model_file.read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "[" * 100_000])
def test_documents_that_are_not(text: str, tiny_path: Path, tmp_path: Path) -> None:
    _, tensors = _document(tiny_path)
    path = tmp_path / "wrong.safetensors"
    _rewrite(path, text, tensors)
    with pytest.raises(ModelFileError, match="metadata document is not"):
        model_file.read(path)


def test_any_flipped_bit_is_noticed(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    path = tmp_path / "flipped.safetensors"
    generator = np.random.default_rng(4)
    header = 8 + int.from_bytes(content[:8], "little")
    # The header ends with up to seven spaces that mean nothing.
    positions = [*range(8), *generator.integers(8, header - 8, 150)]
    positions += generator.integers(header, len(content), 100).tolist()
    wanted = model_file.read(tiny_path)
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        try:
            found = model_file.read(path)
        except ModelFileError:
            continue
        assert_same(found, wanted)


def test_truncated_anywhere(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(0, len(content), max(1, len(content) // 97)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
            model_file.read(path)


def test_failed_write_leaves_nothing(tiny: model_file.ModelFile, tmp_path: Path) -> None:
    bad = replace(tiny, weights={"head.weight": tiny.weights["head.weight"]})
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelFileError, match=r"missing tensors: head.bias"):
        model_file.write(path, bad)
    with pytest.raises(ValueError, match="dtype is 'int4'; wanted one of float32, bfloat16, int8"):
        model_file.write(path, tiny, "int4")
    with pytest.raises(ValueError, match="dtype is 'int8', but the model has no scales"):
        model_file.write(path, tiny, "int8")
    with pytest.raises(FileNotFoundError, match="absent"):
        model_file.write(tmp_path / "absent" / "x.safetensors", tiny)
    assert list(tmp_path.iterdir()) == []
