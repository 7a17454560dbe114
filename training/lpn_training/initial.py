"""The weights that a run starts from: a checkpoint, a foreign state dict, or a model file unfolded.

A model file holds no BatchNorm: each was folded into the convolution before it. Unfolding gives
each convolution a BatchNorm that hands its bias on, and ``measure_norms`` then fills in the
statistics that training needs, so that the network learns from where the file left off.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lpn_core import ModelFileError
from lpn_core.convert.architectures.fold import network_arrays
from lpn_core.convert.state_dict import read_state_dict
from lpn_core.estimator import bundled_models, read_model
from lpn_core.evaluation.categories import plain_name
from lpn_core.keypoints import KeypointSet
from lpn_core.model.quantization import WEIGHT_SCALE
from lpn_core.model.spec import IMAGENET_MEAN, IMAGENET_STD, InputSpec, ModelFile
from torch import Tensor, nn

from lpn_training.checkpoint import averaged_weights, load_checkpoint
from lpn_training.config import stored_config
from lpn_training.models.lpn import LPN

logger = logging.getLogger(__name__)

LAST_LAYER = "final_layer"
# Names in a model file of what the attention blocks' modules hold.
ATTENTION_WEIGHTS = {
    "conv_mask.weight": "mask_weight",
    "conv_mask.bias": "mask_bias",
    "channel_add_conv.0.weight": "w1",
    "channel_add_conv.0.bias": "b1",
    "channel_add_conv.1.weight": "norm_weight",
    "channel_add_conv.1.bias": "norm_bias",
    "channel_add_conv.3.weight": "w2",
    "channel_add_conv.3.bias": "b2",
    "fc.0.weight": "w1",
    "fc.2.weight": "w2",
}

Convolution = nn.Conv2d | nn.ConvTranspose2d


def load_initial(model: LPN, source: str, joints: KeypointSet | None = None) -> bool:
    """Put the weights of ``source`` into a model.

    Where its joints are others, the last layer has those of the same name, and the rest stay new.

    Args:
        model: Of the same depth and attention.
        source: A bundled model's name, or the path of a model file, of a checkpoint of this
            package, or of a state dict with the official keys.
        joints: Of the model; None where nothing but their number is known.

    Returns:
        Whether the weights were unfolded, so that ``measure_norms`` is due.

    Raises:
        ValueError: Another network.
        FileNotFoundError: No such file or bundled model.
    """
    if source in bundled_models() or source.endswith(".safetensors"):
        try:
            file = read_model(source)
        except ModelFileError as fault:
            # A bare state dict may be a safetensors file too; of others this error says more.
            try:
                state = _official_state(source)
            except ValueError:
                raise fault from None
            _load_state(model, state, source)
            return False
        state = unfold(file, model, source)
        if _take_views(state, file.input):
            logger.warning(
                "%s normalises pixels by another mean than training: its heatmaps change where "
                "the first layer reaches beyond the view's edge", source,
            )  # fmt: skip
        _load_state(model, state, source, joints, file.keypoint_set)
        return True
    try:
        content = load_checkpoint(Path(source), _device(model))
    except ValueError:
        _load_state(model, _official_state(source), source)
        return False
    theirs = stored_config(content).model.keypoint_set
    _load_state(model, averaged_weights(content), source, joints, theirs)
    return False


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _official_state(source: str) -> dict[str, Tensor]:
    state_dict = read_state_dict(Path(source))
    try:
        arrays = network_arrays(state_dict)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return {key: torch.tensor(np.asarray(array, np.float32)) for key, array in arrays.items()}


def _load_state(
    model: LPN,
    state: dict[str, Tensor],
    source: str,
    joints: KeypointSet | None = None,
    theirs: KeypointSet | None = None,
) -> None:
    """Load strictly, but for a last layer of other joints."""
    own = model.state_dict()
    count = state.get(f"{LAST_LAYER}.bias", torch.zeros(0)).numel()
    if joints is not None and theirs is not None and joints.names != theirs.names:
        state = {**state, **_last_layer(own, state, joints.names, theirs.names, source)}
    elif count and count != model.final_layer.out_channels:
        logger.warning(
            "%s has %d joints, the model %d: its last layer starts anew",
            source, count, model.final_layer.out_channels,
        )  # fmt: skip
        state = {**state, **{key: own[key] for key in own if key.startswith(f"{LAST_LAYER}.")}}
    counters = {key: own[key] for key in own if key.endswith("num_batches_tracked")}
    state = {**counters, **state}
    problems = [
        f"{what}: {', '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}"
        for what, keys in (
            ("missing", sorted(own.keys() - state.keys())),
            ("left over", sorted(state.keys() - own.keys())),
            (
                "of another shape",
                sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
            ),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"{source} is another network than the model; {'; '.join(problems)}")
    model.load_state_dict(state)


def _last_layer(
    own: dict[str, Tensor],
    state: dict[str, Tensor],
    names: tuple[str, ...],
    theirs: tuple[str, ...],
    source: str,
) -> dict[str, Tensor]:
    """The last layer with the filters of joints that both have, and new ones for the others."""
    known = {plain_name(name): index for index, name in enumerate(theirs)}
    found = ((index, known.get(plain_name(name))) for index, name in enumerate(names))
    pairs = [(index, other) for index, other in found if other is not None]
    logger.warning(
        "%s has %d of the model's %d joints: the filters of the others start anew",
        source, len(pairs), len(names),
    )  # fmt: skip
    layer = {}
    for part in ("weight", "bias"):
        key = f"{LAST_LAYER}.{part}"
        layer[key] = own[key].clone()
        for index, other in pairs:
            layer[key][index] = state[key][other]
    return layer


# --- unfolding -----------------------------------------------------------------------------------


def normalised_convolutions(
    model: nn.Module,
) -> Iterator[tuple[str, Convolution, str, nn.BatchNorm2d]]:
    """Each convolution that a BatchNorm follows: both with their names, in the model's order."""
    for path, parent in model.named_modules():
        children = list(parent.named_children())
        for (name, module), (norm_name, norm) in pairwise(children):
            if isinstance(module, Convolution) and isinstance(norm, nn.BatchNorm2d):
                prefix = f"{path}." if path else ""
                yield f"{prefix}{name}", module, f"{prefix}{norm_name}", norm


def unfold(file: ModelFile, model: LPN, source: str) -> dict[str, Tensor]:
    """The state dict of ``model`` that gives the heatmaps of a model file.

    Every BatchNorm has mean 0 and variance 1 - eps, scale 1, and the folded bias as its shift.

    Raises:
        ValueError: Weights that the model has no place for, or lacks; all are named.
    """
    # Scales for int8 are found anew for the trained weights.
    left = {k: w for k, w in file.weights.items() if not k.endswith(f".{WEIGHT_SCALE}")}
    missing: list[str] = []
    state: dict[str, Tensor] = {}

    def take(name: str, like: Tensor) -> Tensor:
        array: npt.NDArray[np.float32] | None = left.pop(name, None)
        if array is None or array.size != like.numel():
            missing.append(name)
            return torch.zeros_like(like)
        return torch.tensor(array).reshape(like.shape)

    own = model.state_dict()
    for name, module, norm_name, norm in normalised_convolutions(model):
        # The builder names the node of a shortcut after the block's `downsample`.
        node = name.removesuffix(".0") if ".downsample." in name else name
        state[f"{name}.weight"] = take(f"{node}.weight", module.weight)
        state[f"{norm_name}.bias"] = take(f"{node}.bias", norm.bias)
        state[f"{norm_name}.weight"] = torch.ones(norm.num_features)
        state[f"{norm_name}.running_mean"] = torch.zeros(norm.num_features)
        state[f"{norm_name}.running_var"] = torch.full((norm.num_features,), 1 - norm.eps)
    for key, value in own.items():
        block, found, inner = key.partition(".att.")
        if found:
            state[key] = take(f"{block}.att.{ATTENTION_WEIGHTS[inner]}", value)
    for part in ("weight", "bias"):
        array = left.pop(f"{LAST_LAYER}.{part}", None)
        if array is None:
            missing.append(f"{LAST_LAYER}.{part}")
        else:
            state[f"{LAST_LAYER}.{part}"] = torch.tensor(array)
    if missing or left:
        lacks, more = ", ".join(missing[:5]) or "none", ", ".join(sorted(left)[:5]) or "none"
        raise ValueError(
            f"{source} is another network than the model; missing or of another shape: {lacks}; "
            f"left over: {more}"
        )
    return state


def _take_views(state: dict[str, Tensor], spec: InputSpec) -> bool:
    """Have an unfolded first layer take training's views: RGB, by ImageNet's mean and deviation.

    The file's channel c is scale[c] * view[order[c]] + shift[c]. The filters take the scales, the
    shift of their BatchNorm the rest.

    Returns:
        Whether that rest is not 0, which zeros around a view, unlike its pixels, are without.
    """
    order = [0, 1, 2] if spec.channel_order == "rgb" else [2, 1, 0]
    mean, std = np.array(spec.mean), np.array(spec.std)
    scale = np.array(IMAGENET_STD)[order] / std
    shift = (np.array(IMAGENET_MEAN)[order] - mean) / std
    weight = state["conv1.weight"].double()
    constant = weight.sum(dim=(2, 3)) @ torch.tensor(shift)
    state["bn1.bias"] = (state["bn1.bias"].double() + constant).float()
    # The order is its own inverse.
    taken = (weight * torch.tensor(scale)[:, None, None])[:, order]
    state["conv1.weight"] = taken.float()
    return bool(np.abs(shift).max() > 1e-6)


@torch.no_grad()
def measure_norms(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every BatchNorm the statistics of its input; the function does not change.

    The filters before it are scaled so that each output channel has variance 1: a step of the
    optimiser then weighs as much on a channel that folding made small as on any other.

    Args:
        model: In evaluation mode afterwards.
        batches: Normalised views (N, 3, H, W), together enough for a variance.

    Raises:
        ValueError: No batch was given, or a statistic is not finite.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: torch.zeros(2, norm.num_features, dtype=torch.float64) for norm in norms}
    counts = dict.fromkeys(norms, 0)

    def collect(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        x = inputs[0].double()
        counts[norm] += x.numel() // norm.num_features
        sums[norm] += torch.stack((x.sum(dim=(0, 2, 3)), x.square().sum(dim=(0, 2, 3)))).cpu()

    handles = [norm.register_forward_pre_hook(collect) for norm in norms]
    try:
        for views in batches:
            model(views)
    finally:
        for handle in handles:
            handle.remove()
    if not all(counts.values()):
        raise ValueError("no batch was given to measure BatchNorm's statistics on")
    for _, module, name, norm in normalised_convolutions(model):
        mean, square = (sums[norm] / counts[norm]).to(norm.weight.device)
        variance = (square - mean.square()).clamp(min=0)
        if not bool(torch.isfinite(variance).all()):
            raise ValueError(f"the input of {name} is not finite: the weights have diverged")
        _set_statistics(module, norm, mean, variance)


def _set_statistics(
    module: Convolution, norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor
) -> None:
    """Write mean and variance (C,) float64 into a BatchNorm, with one scale per filter."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    old = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * old
    # A filter that is all but dead stays as it is.
    deviation = variance.sqrt()
    factor = torch.where(variance > norm.eps, 1 / deviation, 1.0)
    weight = module.weight
    if isinstance(module, nn.ConvTranspose2d):
        grouped = factor.reshape(module.groups, 1, -1).expand(
            -1, module.in_channels // module.groups, -1
        )
        scale = grouped.reshape(weight.shape[:2])[:, :, None, None]
    else:
        scale = factor[:, None, None, None]
    weight.copy_(weight.double() * scale)
    norm.running_mean.copy_(mean * factor)
    norm.running_var.copy_(variance * factor.square())
    gain = old / factor
    norm.weight.copy_(gain * (norm.running_var.double() + norm.eps).sqrt())
    norm.bias.copy_(shift + mean * old)
