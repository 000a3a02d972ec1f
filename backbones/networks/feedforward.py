"""Spiking networks without shortcuts: a small one, VGG-11, VGG-16, and VGGSNN for event data."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from backbones.networks.norms import MakeNorm, norm_maker
from backbones.networks.stem_and_head import make_head, make_stem
from backbones.networks.stepped_network import Fire, MakeNeuron, Parts

POOL = 0
"""An average pool in a description; other numbers are channels in units of the width."""

VGG11 = (1, POOL, 2, POOL, 4, 4, POOL, 8, 8, POOL, 8, 8)
VGG16 = (1, 1, POOL, 2, 2, POOL, 4, 4, 4, POOL, 8, 8, 8, POOL, 8, 8, 8)
VGGSNN = (1, 2, POOL, 4, 4, POOL, 8, 8, POOL, 8, 8)


class SmallBody(nn.Module):
    """neuron – 3×3 convolution with stride 2, norm – neuron."""

    def __init__(self, width: int, neuron: MakeNeuron) -> None:
        super().__init__()
        self.first, self.second = neuron(), neuron()
        self.conv = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)

    def forward(self, current: Tensor, fire: Fire) -> Tensor:
        """`[B, 2·width, ⌈H/2⌉, ⌈W/2⌉]` spikes."""
        spikes = fire(self.first, current)
        return fire(self.second, self.norm(self.conv(spikes)))


def small(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
    """Two spiking convolutions and a linear readout, for inputs of about 8 to 32 pixels.

    Options: `width` (default 16), the channels of the first layer; the second has twice as many.
    """
    channels, height, _ = config["input_shape"]
    width = config["options"].get("width", 16)
    stem = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
    side = min(4, (height + 1) // 2)
    return stem, SmallBody(width, neuron), make_head(2 * width, config, side)


class PlainBody(nn.Module):
    """neuron – 3×3 convolutions with norm and neuron, some after an average pool."""

    def __init__(self, channels: tuple[int, ...], neuron: MakeNeuron, norm: MakeNorm) -> None:
        super().__init__()
        self.neurons = nn.ModuleList([neuron()])
        layers: list[nn.Module] = []
        before, pooled = channels[0], False
        for after in channels[1:]:
            if after == POOL:
                pooled = True
                continue
            pool = [nn.AvgPool2d(2, ceil_mode=True)] if pooled else []
            layers.append(nn.Sequential(*pool, nn.Conv2d(before, after, 3, padding=1, bias=False), norm(after)))
            self.neurons.append(neuron())
            before, pooled = after, False
        self.layers = nn.ModuleList(layers)

    def forward(self, current: Tensor, fire: Fire) -> Tensor:
        """`[B, F, H, W]` spikes of the last layer."""
        spikes = fire(self.neurons[0], current)  # type: ignore[arg-type]
        for layer, neuron in zip(self.layers, self.neurons[1:], strict=True):
            spikes = fire(neuron, layer(spikes))  # type: ignore[arg-type]
        return spikes


def vgg(description: tuple[int, ...], *, pooled_side: int = 1) -> Callable[[dict[str, Any], MakeNeuron], Parts]:
    """A maker of plain spiking networks of a description: channels of each layer in units of the width, and `POOL`.

    Space is average-pooled to `pooled_side` before the readout. Options: `width` (default 64), the channels of the
    first layer; `norm` (default "tdbn"; or "bn", "tdbn-per-timestep"); `stem` as in `residual.resnet`.
    """

    def make(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
        width = config["options"].get("width", 64)
        norm = norm_maker(config["options"].get("norm", "tdbn"), neuron().v_threshold, config["timesteps"])
        channels = tuple(width * units for units in description)
        head = make_head(channels[-1], config, pooled_side)
        return make_stem(config, channels[0], norm), PlainBody(channels, neuron, norm), head

    return make
