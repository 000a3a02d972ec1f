"""Stems and heads of the networks."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import unknown_name
from backbones.networks.norms import MakeNorm

OPTIONS = frozenset({"norm", "stem", "width"})
"""Of the networks that have them."""
_FEWEST = 4
"""Matrix products of fewer outputs round a row by its place in the batch on some processors."""


class NarrowLinear(nn.Linear):
    """A linear layer of few outputs, padded with outputs of weight 0 so that rows are independent."""

    def forward(self, input: Tensor) -> Tensor:
        """`[B, F]` to `[B, K]`."""
        more = _FEWEST - self.out_features
        return F.linear(input, F.pad(self.weight, (0, 0, 0, more)), F.pad(self.bias, (0, more)))[:, : self.out_features]


def readout(features: int, classes: int) -> nn.Linear:
    """The layer from pooled spikes `[B, features]` to outputs `[B, classes]`."""
    return (nn.Linear if classes >= _FEWEST else NarrowLinear)(features, classes)


def make_stem(config: dict[str, Any], width: int, norm: MakeNorm) -> nn.Sequential:
    """Image to the first neuron's current; an `InputError` for an unknown kind of stem."""
    channels, kind = config["input_shape"][0], config["options"].get("stem", "small")
    if kind == "small":
        return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), norm(width))
    if kind == "large":
        conv = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        return nn.Sequential(conv, nn.AvgPool2d(2, ceil_mode=True), norm(width))
    raise unknown_name("stem", kind, ("small", "large"))


def make_head(channels: int, config: dict[str, Any], side: int = 1) -> nn.Sequential:
    """Average pool to side × side places, and a linear readout."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten(), readout(channels * side**2, config["num_classes"]))
