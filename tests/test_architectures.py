"""State dict to graph: the official names, nothing missing, nothing left over."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import lpn_state_dict
from lpn_core import architectures
from lpn_core.convert.architectures.lpn import build_lpn

# lpn-pytorch's counts of trainable parameters, without and with GC.
PARAMETERS = {
    (50, "none"): 2_732_689,
    (50, "gc"): 2_911_153,
    (101, "none"): 5_026_193,
    (101, "gc"): 5_353_458,
    (152, "none"): 6_918_801,
    (152, "gc"): 7_377_459,
}


@pytest.mark.parametrize(("depth", "attention"), PARAMETERS)
def test_parameter_counts(depth: int, attention: str) -> None:
    state = lpn_state_dict(depth, attention)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(array.size for name, array in state.items() if not name.endswith(buffers))
    assert count == PARAMETERS[depth, attention]
    _, weights = build_lpn(state, depth)
    # Each BatchNorm's four numbers per channel become one bias.
    norms = sum(array.size for name, array in state.items() if name.endswith("running_mean"))
    assert sum(array.size for array in weights.values()) == count - norms


@pytest.mark.parametrize("attention", ["gc", "se", "none"])
@pytest.mark.parametrize("joints", [1, 14, 17])
def test_build_compiles_for_any_number_of_joints(attention: str, joints: int) -> None:
    graph, weights = architectures.build("lpn50", lpn_state_dict(50, attention, joints))
    kinds = [node.kind for node in graph.nodes]
    assert kinds.count("gc_block") == (16 if attention == "gc" else 0)
    assert kinds.count("se_block") == (16 if attention == "se" else 0)
    assert all(array.dtype == np.float32 for array in weights.values())
    compiled = graph.compile(weights, threads=1, isa=None)
    assert compiled.output_shape(256, 192) == (64, 48, joints)
    assert compiled.output_shape(224, 160) == (56, 40, joints)


def test_prefix_and_missing_counters_change_nothing() -> None:
    state = lpn_state_dict(50, "gc")
    graph, weights = build_lpn(state, 50)
    bare = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    other_graph, other = build_lpn({f"module.{k}": v for k, v in bare.items()}, 50)
    assert graph == other_graph
    assert weights.keys() == other.keys()
    assert all(np.array_equal(weights[name], other[name]) for name in weights)


def test_batch_norm_is_folded_in_float64() -> None:
    state = lpn_state_dict(50, "none")
    _, weights = build_lpn(state, 50)
    for conv, norm, node, axis in (
        ("layer2.0.conv2", "layer2.0.bn2", "layer2.0.conv2", 0),
        ("layer3.0.downsample.0", "layer3.0.downsample.1", "layer3.0.downsample", 0),
        ("deconv_layers.0", "deconv_layers.1", "deconv_layers.0", 1),
    ):
        part = {k: state[f"{norm}.{k}"].astype(np.float64) for k in ("weight", "bias")}
        variance = state[f"{norm}.running_var"].astype(np.float64)
        scale = part["weight"] / np.sqrt(variance + 1e-5)
        weight = state[f"{conv}.weight"].astype(np.float64)
        if axis == 0:
            weight = weight * scale[:, None, None, None]
        else:
            # Input channels 2g and 2g + 1 make output g.
            weight = weight * np.repeat(scale, 2)[:, None, None, None]
        bias = part["bias"] - state[f"{norm}.running_mean"].astype(np.float64) * scale
        np.testing.assert_array_equal(weights[f"{node}.weight"], weight.astype(np.float32))
        np.testing.assert_allclose(weights[f"{node}.bias"], bias, rtol=1e-7, atol=1e-9)


def test_kinds_of_differences_are_listed_at_once() -> None:
    state = lpn_state_dict(50, "gc")
    del state["layer1.0.bn1.running_mean"], state["layer4.2.att.conv_mask.bias"]
    state["layer1.9.conv1.weight"] = np.zeros((64, 64, 1, 1), np.float32)
    state["conv1.weight"] = np.zeros((64, 3, 3, 3), np.float32)
    state["bn1.bias"] = np.full(64, np.nan, np.float32)
    with pytest.raises(ValueError, match="not a state dict of lpn50") as caught:
        build_lpn(state, 50)
    message = str(caught.value)
    for part in (
        "2 missing: layer1.0.bn1.running_mean, layer4.2.att.conv_mask.bias",
        "1 left over: layer1.9.conv1.weight",
        "conv1.weight is (64, 3, 3, 3), wanted (64, 3, 7, 7)",
        "bn1.bias holds NaN or infinity",
    ):
        assert part in message


def test_wrong_depth_lists_the_first_of_the_rest() -> None:
    words = r"391 {}: layer3\.6\.conv1\.weight.* and 386 more"
    with pytest.raises(ValueError, match="lpn50 .*" + words.format("left over")):
        architectures.build("lpn50", lpn_state_dict(101, "gc"))
    with pytest.raises(ValueError, match="lpn101 .*" + words.format("missing")):
        architectures.build("lpn101", lpn_state_dict(50, "gc"))


@pytest.mark.parametrize(
    ("key", "shape", "words"),
    [
        ("deconv_layers.0.bias", (256,), "deconv_layers.0.bias.*DECONV_WITH_BIAS"),
        ("final_layer.weight", (17, 256, 3, 3), "final_layer.weight.*3x3.*FINAL_CONV_KERNEL"),
    ],
)
def test_variants_are_refused_by_name(key: str, shape: tuple[int, ...], words: str) -> None:
    state = lpn_state_dict(50, "none")
    state[key] = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=words):
        build_lpn(state, 50)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'lpn18'; known: lpn50, lpn101"):
        architectures.build("lpn18", {})
    with pytest.raises(ValueError, match="depth is 34; wanted one of 50, 101, 152"):
        build_lpn({}, 34)
    with pytest.raises(ValueError, match="attention is 'cbam'"):
        build_lpn({}, 50, "cbam")
