"""The LPN modules: parameter counts, official keys, initialisation."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lpn_training.models.lpn import LPN, Attention  # noqa: E402
from reference_network import lpn_shapes  # noqa: E402

# Recomputed from the paper's table 1: without attention, with GC.
PARAMETERS = {50: (2732689, 2911153), 101: (5026193, 5353458), 152: (6918801, 7377459)}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameter_counts(depth: int) -> None:
    for attention, expected in zip((None, "gc"), PARAMETERS[depth], strict=True):
        assert sum(p.numel() for p in LPN(depth, attention).parameters()) == expected


@pytest.mark.parametrize("attention", [None, "gc", "se"])
@pytest.mark.parametrize("depth", [50, 101, 152])
def test_state_dict_has_the_official_keys_and_shapes(
    depth: int, attention: Attention | None
) -> None:
    state = LPN(depth, attention, num_joints=16).state_dict()
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert found == lpn_shapes(depth, attention or "none", 16)


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


def test_default_initialisation_is_pytorchs_and_the_gc_blocks_own() -> None:
    """The same draws as fresh layers make, but for GC's mask and last convolution."""
    torch.manual_seed(0)
    model = LPN(50, "gc", initialisation="pytorch")
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.endswith("att.conv_mask"):
            channels = weight.shape[1]
            # Kaiming-normal of a 1x1 convolution; 64 and more draws.
            assert abs(weight.std() / (2 / channels) ** 0.5 - 1) < 0.5
            assert not module.bias.any()
        elif name.endswith("att.channel_add_conv.3"):
            assert not weight.any()
            assert not module.bias.any()
        elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            # U(-1 / sqrt(fan), 1 / sqrt(fan)), where PyTorch counts the taps of one output.
            bound = weight[0].numel() ** -0.5
            assert weight.abs().max() <= bound
            assert weight.abs().max() > 0.9 * bound
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm):
            assert bool((weight == 1).all())
            assert not module.bias.any()


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
