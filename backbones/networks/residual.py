"""Spiking residual networks, whose shortcuts are added to the current of a neuron."""

import itertools
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from backbones.networks.neurons.neuron import LIF
from backbones.networks.norms import MakeNorm, norm_maker
from backbones.networks.stem_and_head import make_head, make_stem
from backbones.networks.stepped_network import Fire, MakeNeuron, Parts


class Block(nn.Module):
    """Two 3×3 convolutions with norms, and a shortcut to the second neuron's current.

    Where the shape changes, the shortcut is an average pool, a 1×1 convolution and a norm (SEENN's code).
    """

    def __init__(
        self, before: int, channels: int, neuron: MakeNeuron, norm: MakeNorm, *, stride: int = 1, alpha: float = 1.0
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1, self.neuron1 = norm(channels), neuron()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2, self.neuron2 = norm(channels, alpha=alpha), neuron()
        self.shortcut: nn.Module | None = None
        if stride != 1 or before != channels:
            # Odd sides round up, as a convolution with stride does.
            pool = nn.AvgPool2d(stride, ceil_mode=True)
            self.shortcut = nn.Sequential(pool, nn.Conv2d(before, channels, 1, bias=False), norm(channels, alpha=alpha))

    def forward(self, spikes: Tensor, fire: Fire) -> Tensor:
        """`[B, C, H, W]` spikes to `[B, C', ⌈H/stride⌉, ⌈W/stride⌉]`."""
        inner = fire(self.neuron1, self.norm1(self.conv1(spikes)))
        past = spikes if self.shortcut is None else self.shortcut(spikes)
        return fire(self.neuron2, self.norm2(self.conv2(inner)) + past)


class NarrowStage(nn.Module):
    """3×3 convolution with stride 2, norm, neuron – one block."""

    def __init__(self, before: int, channels: int, neuron: MakeNeuron, norm: MakeNorm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False)
        self.norm, self.neuron = norm(channels), neuron()
        self.block = Block(channels, channels, neuron, norm, alpha=1 / math.sqrt(2))

    def forward(self, spikes: Tensor, fire: Fire) -> Tensor:
        """`[B, C, H, W]` spikes to `[B, C', ⌈H/2⌉, ⌈W/2⌉]`."""
        return self.block(fire(self.neuron, self.norm(self.conv(spikes))), fire)


class BlockStage(nn.Module):
    """Blocks; the first changes the shape."""

    def __init__(
        self, before: int, channels: int, blocks: int, stride: int, neuron: MakeNeuron, norm: MakeNorm
    ) -> None:
        super().__init__()
        first = Block(before, channels, neuron, norm, stride=stride)
        self.blocks = nn.ModuleList([first, *(Block(channels, channels, neuron, norm) for _ in range(blocks - 1))])

    def forward(self, spikes: Tensor, fire: Fire) -> Tensor:
        """`[B, C, H, W]` spikes to `[B, C', ⌈H/stride⌉, ⌈W/stride⌉]`."""
        for block in self.blocks:
            spikes = block(spikes, fire)
        return spikes


class ResidualBody(nn.Module):
    """neuron – stages, one after another."""

    def __init__(self, neuron: LIF, stages: list[nn.Module]) -> None:
        super().__init__()
        self.neuron = neuron
        self.stages = nn.ModuleList(stages)

    def forward(self, current: Tensor, fire: Fire) -> Tensor:
        """`[B, F, H, W]` spikes of the last stage."""
        spikes = fire(self.neuron, current)
        for stage in self.stages:
            spikes = stage(spikes, fire)
        return spikes


def resnet9(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
    """A small spiking ResNet for training on a CPU: three times a convolution of stride 2 and a block.

    Options: `width` (default 64), the channels of the stem; the others have 3/2, 3 and 6 times as many
    (4.4 million weights at 64). `norm` and `stem` as in `resnet`.
    """
    width = config["options"].get("width", 64)
    norm = norm_maker(config["options"].get("norm", "tdbn"), neuron().v_threshold, config["timesteps"])
    widths = (width, 3 * width // 2, 3 * width, 6 * width)
    stages: list[nn.Module] = [NarrowStage(b, c, neuron, norm) for b, c in itertools.pairwise(widths)]
    return make_stem(config, width, norm), ResidualBody(neuron(), stages), make_head(widths[-1], config)


def resnet(width: int, blocks: tuple[int, ...]) -> Callable[[dict[str, Any], MakeNeuron], Parts]:
    """A maker of spiking ResNets of basic blocks, whose channels double where the stride is 2.

    Its options: `width`, the first blocks' channels; `norm` (default "tdbn"; or "bn", "tdbn-per-timestep"); `stem`
    (default "small", a 3×3 convolution; or "large", 7×7 with stride 2 and an average pool).
    """

    def make(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
        first = before = config["options"].get("width", width)
        norm = norm_maker(config["options"].get("norm", "tdbn"), neuron().v_threshold, config["timesteps"])
        stages: list[nn.Module] = []
        for stage, count in enumerate(blocks):
            channels = first * 2**stage
            stages.append(BlockStage(before, channels, count, 2 if stage else 1, neuron, norm))
            before = channels
        return make_stem(config, first, norm), ResidualBody(neuron(), stages), make_head(before, config)

    return make
