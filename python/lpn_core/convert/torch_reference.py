"""What PyTorch makes of a checkpoint, which its model file is held to before it is written.

The forward pass is written from the official layers' description, on the state dict as it is: no
BatchNorm is folded, and nothing of ``architectures`` is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpn_core.convert.architectures.fold import network_arrays
from lpn_core.model.model import Model
from lpn_core.model.spec import ModelFile

# Largest difference of heatmaps, in parts of their largest value. Folding and another order of
# sums cost float32 a few of its 24 bits. bfloat16 keeps 8 bits of each weight: 0.004 to 0.011 was
# measured on trained and random networks.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}
_STRIDES = (1, 2, 2, 1)
_EPSILON = 1e-5
_UNCOMPARED = (
    "Not compared with PyTorch, which was not installed where it was made: the self-test records "
    "what the engine itself found."
)


def held_to_torch(
    made: ModelFile, state_dict: Mapping[str, NDArray[Any]], dtype: str = "float32"
) -> ModelFile:
    """Compares a model with PyTorch on the crops of its self-test, where torch is installed.

    Args:
        made: a model file's content.
        state_dict: the network's arrays under LPN's official key names, which it was made from.
        dtype: in which its weights are stored.

    Returns:
        The same content, with a note in its provenance of what was compared.

    Raises:
        ValueError: the heatmaps differ by more than rounding.
    """
    try:
        import torch
    except ImportError:
        note = _UNCOMPARED
    else:
        with Model(made) as model:
            found = model(made.self_test.crops)
        spec = made.input
        pixels = made.self_test.crops[..., :: -1 if spec.channel_order == "bgr" else 1] / 255.0
        expected = lpn_heatmaps(state_dict, (pixels - spec.mean) / spec.std)
        difference = check_heatmaps(found, expected, dtype)
        note = (
            f"On the crops of the self-test its heatmaps are those of PyTorch {torch.__version__} "
            f"to {difference:.1e} of their largest value."
        )
    notes = " ".join(filter(None, (made.provenance.notes, note)))
    return replace(made, provenance=replace(made.provenance, notes=notes))


def check_heatmaps(found: NDArray[Any], expected: NDArray[Any], dtype: str) -> float:
    """Holds a model file's heatmaps to PyTorch's of the same crops.

    Returns:
        Their largest difference, in parts of the largest value.

    Raises:
        ValueError: it is more than rounding.
    """
    limit = _TOLERANCE[dtype]
    difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
    # Not `difference > limit`: a NaN must fail.
    if not difference <= limit:
        raise ValueError(
            f"the model file's heatmaps differ from PyTorch's by {difference:.2g} of their largest "
            f"value; at most {limit} is rounding. Weights that are not finite, or BatchNorm "
            "variances near 0, are the likely cause"
        )
    return difference


def lpn_heatmaps(
    state_dict: Mapping[str, NDArray[Any]], inputs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Heatmaps (N, H / 4, W / 4, K) of normalised crops (N, H, W, 3), by PyTorch in float64.

    Args:
        state_dict: of any LPN, with or without the prefix ``module.``.
        inputs: in the network's channel order.
    """
    import torch
    from torch.nn import functional

    state = {
        key: torch.tensor(np.asarray(array, np.float64))
        for key, array in network_arrays(state_dict).items()
    }

    def conv(x: torch.Tensor, name: str, **options: int) -> torch.Tensor:
        bias = state.get(f"{name}.bias")
        return functional.conv2d(x, state[f"{name}.weight"], bias, **options)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.batch_norm(x, mean, variance, weight, bias, eps=_EPSILON)

    def attention(x: torch.Tensor, name: str) -> torch.Tensor:
        if f"{name}.fc.0.weight" in state:
            hidden = torch.relu(x.mean(dim=(2, 3)) @ state[f"{name}.fc.0.weight"].T)
            return x * torch.sigmoid(hidden @ state[f"{name}.fc.2.weight"].T)[:, :, None, None]
        if f"{name}.conv_mask.weight" not in state:
            return x
        mask = conv(x, f"{name}.conv_mask").flatten(2).softmax(dim=2)
        context = torch.einsum("ncp,nqp->nc", x.flatten(2), mask)[:, :, None, None]
        hidden = conv(context, f"{name}.channel_add_conv.0")
        weight = state[f"{name}.channel_add_conv.1.weight"]
        shift = state[f"{name}.channel_add_conv.1.bias"]
        hidden = functional.layer_norm(hidden, list(weight.shape), weight, shift, _EPSILON)
        return x + conv(torch.relu(hidden), f"{name}.channel_add_conv.3")

    def block(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        y = torch.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = conv(y, f"{name}.conv2", stride=stride, padding=1, groups=y.shape[1])
        y = torch.relu(norm(y, f"{name}.bn2"))
        y = attention(norm(conv(y, f"{name}.conv3"), f"{name}.bn3"), f"{name}.att")
        if f"{name}.downsample.0.weight" in state:
            x = norm(conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
        return torch.relu(x + y)

    with torch.inference_mode():
        x = torch.tensor(inputs).permute(0, 3, 1, 2)
        x = torch.relu(norm(conv(x, "conv1", stride=2, padding=3), "bn1"))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage, stride in enumerate(_STRIDES, start=1):
            index = 0
            while f"layer{stage}.{index}.conv1.weight" in state:
                x = block(x, f"layer{stage}.{index}", 1 if index else stride)
                index += 1
        for first in (0, 6):
            weight = state[f"deconv_layers.{first}.weight"]
            # (inputs, outputs / groups, 4, 4); the norm after it has all outputs.
            groups = len(state[f"deconv_layers.{first + 1}.weight"]) // weight.shape[1]
            x = functional.conv_transpose2d(x, weight, None, 2, 1, groups=groups)
            x = torch.relu(norm(x, f"deconv_layers.{first + 1}"))
            x = torch.relu(
                norm(conv(x, f"deconv_layers.{first + 3}"), f"deconv_layers.{first + 4}")
            )
        heatmaps = conv(x, "final_layer").permute(0, 2, 3, 1)
    return np.ascontiguousarray(heatmaps.numpy())
