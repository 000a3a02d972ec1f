"""The small convolutional network, and the table of architectures that `build` knows."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from backbones.networks.feedforward import OPTIONS as PLAIN
from backbones.networks.feedforward import VGG11, VGG16, VGGSNN, vgg
from backbones.networks.graph import graph
from backbones.networks.readout import readout
from backbones.networks.residual import OPTIONS as RESIDUAL
from backbones.networks.residual import resnet, resnet9
from backbones.networks.stepped import Fire, MakeNeuron, Parts


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
    head = nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten(), readout(2 * width * side**2, config["num_classes"]))
    return stem, SmallBody(width, neuron), head


ARCHITECTURES: dict[str, tuple[Callable[[dict[str, Any], MakeNeuron], Parts], frozenset[str]]] = {
    "graph": (graph, frozenset({"nodes"})),
    "resnet9": (resnet9, RESIDUAL),
    "resnet18": (resnet(64, (2, 2, 2, 2)), RESIDUAL),
    "resnet19": (resnet(128, (3, 3, 2)), RESIDUAL),
    "resnet20": (resnet(16, (3, 3, 3)), RESIDUAL),
    "resnet34": (resnet(64, (3, 4, 6, 3)), RESIDUAL),
    "small": (small, frozenset({"width"})),
    "vgg11": (vgg(VGG11), PLAIN),
    "vgg16": (vgg(VGG16), PLAIN),
    "vggsnn": (vgg(VGGSNN, pooled_side=3), PLAIN),
}
"""Name: (function that makes stem, body and head; the names of the options that it takes)."""
