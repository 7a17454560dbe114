"""The Lightweight Pose Network (arXiv 1911.10346), with the official state-dict keys."""

from __future__ import annotations

import math
from typing import Literal

import torch
from lpn_core.convert.architectures.lpn import BLOCKS
from torch import Tensor, nn
from torch.nn import functional

from lpn_training.models.convolutions import DepthwiseConv, GroupedDeconv

Attention = Literal["gc", "se"]
Initialisation = Literal["paper", "he", "pytorch"]

# Width and stride of layer1..layer4; the paper removes the last downsampling.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 1))
HEAD_WIDTH = 256
# What the field calls the halves of such a network, by the modules in them.
PARTS = {
    "backbone": ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"),
    "head": ("deconv_layers", "final_layer"),
}
# What has an initialisation of its own in PyTorch.
DEFAULTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)


class GlobalContext(nn.Module):
    """GC block: ``x + transform(sum_p softmax_p(mask(x)) x_p)``, (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 16)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weights = self.conv_mask(x).reshape(n, h * w, 1).softmax(dim=1).to(x.dtype)
        context = torch.matmul(x.reshape(n, c, h * w), weights).reshape(n, c, 1, 1)
        added: Tensor = x + self.channel_add_conv(context)
        return added


class SqueezeExcitation(nn.Module):
    """SE block: ``x * sigmoid(fc(mean_p x_p))``, (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 16)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


def make_attention(kind: Attention | None, channels: int) -> nn.Module | None:
    """Build an attention block, or None; an unknown kind is a ValueError."""
    if kind is None:
        return None
    if kind == "gc":
        return GlobalContext(channels)
    if kind == "se":
        return SqueezeExcitation(channels)
    raise ValueError(f"attention is {kind!r}; it must be 'gc', 'se' or None")


class LightweightBottleneck(nn.Module):
    """1x1, depthwise 3x3, 1x1 with expansion 1, attention and shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, attention: Attention | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = DepthwiseConv(planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.att = make_attention(attention, planes)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.att is not None:
            y = self.att(y)
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(y + shortcut)


class LPN(nn.Module):
    """LPN: normalised images (N, 3, H, W) to heatmaps (N, K, H / 4, W / 4).

    Args:
        depth: 50, 101 or 152.
        attention: "gc", "se" or None.
        num_joints: K.
        initialisation: "paper" draws every convolution from N(0, 0.001); "he" uses Kaiming's
            fan-out rule, lets each block start as its shortcut and keeps the head small; "pytorch"
            leaves every layer to PyTorch and a GC block to its authors: a Kaiming mask, a last
            convolution of zeros. On MPII the official code begins so.
    """

    def __init__(
        self,
        depth: int = 50,
        attention: Attention | None = "gc",
        num_joints: int = 17,
        initialisation: Initialisation = "he",
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth}; it must be one of {sorted(BLOCKS)}")
        if num_joints < 1:
            raise ValueError(f"num_joints is {num_joints}; it must be at least 1")
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for index, ((planes, stride), count) in enumerate(zip(STAGES, BLOCKS[depth], strict=True)):
            blocks = [LightweightBottleneck(channels, planes, stride, attention)]
            blocks += [
                LightweightBottleneck(planes, planes, 1, attention) for _ in range(count - 1)
            ]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
            channels = planes
        head: list[nn.Module] = []
        for _ in range(2):
            groups = math.gcd(channels, HEAD_WIDTH)
            head += [
                GroupedDeconv(channels, HEAD_WIDTH, groups),
                nn.BatchNorm2d(HEAD_WIDTH),
                nn.ReLU(),
                nn.Conv2d(HEAD_WIDTH, HEAD_WIDTH, 1, bias=False),
                nn.BatchNorm2d(HEAD_WIDTH),
                nn.ReLU(),
            ]
            channels = HEAD_WIDTH
        self.deconv_layers = nn.Sequential(*head)
        self.final_layer = nn.Conv2d(HEAD_WIDTH, num_joints, 1)
        self.initialise(initialisation)

    def initialise(self, kind: Initialisation) -> None:
        """Draw all weights anew from torch's global generator."""
        if kind not in ("paper", "he", "pytorch"):
            raise ValueError(f"initialisation is {kind!r}; it must be 'paper', 'he' or 'pytorch'")
        if kind == "pytorch":
            self._initialise_by_default()
            return
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                if kind == "paper":
                    nn.init.normal_(module.weight, std=0.001)
                else:
                    # A transposed convolution stores (in, out, kh, kw): each output sees a
                    # quarter of the taps at stride 2, and in / groups channels.
                    transposed = isinstance(module, nn.ConvTranspose2d)
                    taps = module.weight[0, 0].numel() // (4 if transposed else 1)
                    width = module.in_channels if transposed else module.out_channels
                    fan = taps * width // module.groups
                    nn.init.normal_(module.weight, std=math.sqrt(2.0 / max(fan, 1)))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if kind == "he":
            for module in self.modules():
                if isinstance(module, LightweightBottleneck):
                    # Blocks with a shortcut of their own width begin as the identity.
                    if module.downsample is None:
                        nn.init.zeros_(module.bn3.weight)
                elif isinstance(module, GlobalContext):
                    last = module.channel_add_conv[3]
                    assert isinstance(last, nn.Conv2d)
                    nn.init.zeros_(last.weight)
                    nn.init.zeros_(module.conv_mask.weight)
            nn.init.normal_(self.final_layer.weight, std=0.001)

    def _initialise_by_default(self) -> None:
        for module in self.modules():
            if isinstance(module, DEFAULTS):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, GlobalContext):
                nn.init.kaiming_normal_(module.conv_mask.weight, nonlinearity="relu")
                last = module.channel_add_conv[3]
                assert isinstance(last, nn.Conv2d)
                for parameter in (module.conv_mask.bias, last.weight, last.bias):
                    assert parameter is not None
                    nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        y = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        for index in range(len(STAGES)):
            y = getattr(self, f"layer{index + 1}")(y)
        y = self.deconv_layers(y)
        heatmaps: Tensor = self.final_layer(y)
        return heatmaps
