"""Spiking residual networks: the shortcut is added to the current, before the neuron fires."""

import itertools
import math
from typing import Any

from torch import Tensor, nn

from backbones.network import Fire, MakeNeuron, Parts
from backbones.norms import MakeNorm, norm_maker


class Block(nn.Module):
    """Two 3×3 convolutions with norms, and the block's input added before the second neuron."""

    def __init__(self, channels: int, neuron: MakeNeuron, norm: MakeNorm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1, self.neuron1 = norm(channels), neuron()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2, self.neuron2 = norm(channels, alpha=1 / math.sqrt(2)), neuron()

    def forward(self, spikes: Tensor, fire: Fire) -> Tensor:
        """`[B, C, H, W]` spikes to the same."""
        inner = fire(self.neuron1, self.norm1(self.conv1(spikes)))
        return fire(self.neuron2, self.norm2(self.conv2(inner)) + spikes)


class Stage(nn.Module):
    """3×3 convolution with stride 2, norm, neuron – residual block."""

    def __init__(self, channels_in: int, channels: int, neuron: MakeNeuron, norm: MakeNorm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
        self.norm, self.neuron = norm(channels), neuron()
        self.block = Block(channels, neuron, norm)

    def forward(self, spikes: Tensor, fire: Fire) -> Tensor:
        """`[B, C, H, W]` spikes to `[B, C', ⌈H/2⌉, ⌈W/2⌉]`."""
        out: Tensor = self.block(fire(self.neuron, self.norm(self.conv(spikes))), fire)
        return out


class ResNet9Body(nn.Module):
    """neuron – three stages."""

    def __init__(self, widths: tuple[int, ...], neuron: MakeNeuron, norm: MakeNorm) -> None:
        super().__init__()
        self.neuron = neuron()
        pairs = itertools.pairwise(widths)
        self.stages = nn.ModuleList(Stage(before, after, neuron, norm) for before, after in pairs)

    def forward(self, current: Tensor, fire: Fire) -> Tensor:
        """`[B, 6·width, ⌈H/8⌉, ⌈W/8⌉]` spikes."""
        spikes = fire(self.neuron, current)
        for stage in self.stages:
            spikes = stage(spikes, fire)
        return spikes


def resnet9(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
    """A small spiking ResNet that trains on a CPU: stem, three stages of stride 2, mean over space, linear.

    Options: `width` (default 64), the channels of the stem; the stages have 3/2, 3 and 6 times as many
    (4.4 million weights at 64). `norm` (default "tdbn").
    """
    options = config["options"]
    width = options.get("width", 64)
    widths = (width, 3 * width // 2, 3 * width, 6 * width)
    norm = norm_maker(options.get("norm", "tdbn"), neuron().v_threshold)
    stem = nn.Sequential(nn.Conv2d(config["input_shape"][0], width, 3, padding=1, bias=False), norm(width))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], config["num_classes"]))
    return stem, ResNet9Body(widths, neuron, norm), head
