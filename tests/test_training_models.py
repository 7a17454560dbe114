"""The LPN modules: parameter counts, official keys, initialisation."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lpn_training.models.lpn import BLOCKS, LPN, Attention  # noqa: E402

# Recomputed from the paper's table 1: without attention, with GC.
PARAMETERS = {50: (2732689, 2911153), 101: (5026193, 5353458), 152: (6918801, 7377459)}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameter_counts(depth: int) -> None:
    for attention, expected in zip((None, "gc"), PARAMETERS[depth], strict=True):
        assert sum(p.numel() for p in LPN(depth, attention).parameters()) == expected


def official_keys(depth: int, attention: Attention | None) -> set[str]:
    """The keys of the official checkpoints, written down from the published description."""

    def norm(name: str) -> list[str]:
        fields = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{name}.{field}" for field in fields]

    keys = ["conv1.weight", *norm("bn1"), "final_layer.weight", "final_layer.bias"]
    for layer, count in enumerate(BLOCKS[depth], 1):
        for block in range(count):
            prefix = f"layer{layer}.{block}"
            for index in (1, 2, 3):
                keys += [f"{prefix}.conv{index}.weight", *norm(f"{prefix}.bn{index}")]
            if layer > 1 and block == 0:
                keys += [f"{prefix}.downsample.0.weight", *norm(f"{prefix}.downsample.1")]
            if attention == "gc":
                for part in ("conv_mask", *(f"channel_add_conv.{i}" for i in (0, 1, 3))):
                    keys += [f"{prefix}.att.{part}.weight", f"{prefix}.att.{part}.bias"]
            elif attention == "se":
                keys += [f"{prefix}.att.fc.0.weight", f"{prefix}.att.fc.2.weight"]
    for start in (0, 6):
        for offset in (0, 3):
            keys += [f"deconv_layers.{start + offset}.weight"]
            keys += norm(f"deconv_layers.{start + offset + 1}")
    return set(keys)


@pytest.mark.parametrize("attention", [None, "gc", "se"])
@pytest.mark.parametrize("depth", BLOCKS)
def test_state_dict_has_the_official_keys(depth: int, attention: Attention | None) -> None:
    assert set(LPN(depth, attention).state_dict()) == official_keys(depth, attention)


def test_shapes_and_joints() -> None:
    model = LPN(50, "se", num_joints=14).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 128, 96)).shape == (2, 14, 32, 24)
    head = model.deconv_layers[0]
    assert head.weight.shape == (512, 1, 4, 4)
    assert head.groups == 256


def test_paper_initialisation_is_narrow() -> None:
    torch.manual_seed(0)
    weight = LPN(50, "gc", initialisation="paper").deconv_layers[3].weight
    assert abs(weight.std().item() - 0.001) < 2e-5


def test_he_initialisation_keeps_activations_alive() -> None:
    torch.manual_seed(0)
    model = LPN(50, "gc")
    values = []
    model.deconv_layers.register_forward_hook(lambda *args: values.append(args[2].std().item()))
    model(torch.randn(2, 3, 128, 96))
    assert 0.1 < values[0] < 10


@pytest.mark.parametrize("changes", [{"depth": 34}, {"attention": "cbam"}, {"num_joints": 0},
                                     {"initialisation": "xavier"}])  # fmt: skip
def test_bad_arguments_name_the_choices(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LPN(**changes)


def test_bf16_on_the_cpu_stays_close_to_float32() -> None:
    torch.manual_seed(0)
    model = LPN(50, "gc").eval()
    image = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        expected = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(image)
    assert found.dtype == torch.bfloat16
    assert (found - expected).abs().max() <= 0.05 * expected.abs().max()
