"""Norms folded into the convolutions before them.

    y = γ·(W∗x - μ)/√(σ² + ε) + β = (g·W)∗x + (β - g·μ),   g = γ/√(σ² + ε)

tdBN's γ is times its scale α·V_th. A convolution's own bias b counts as μ - b. Of statistics of each timestep, the
first timestep's are folded, and what the others differ by is left behind.
"""

from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.network import SpikingNetwork
from backbones.norms import ThresholdBatchNorm2d, TimestepBatchNorm2d, TimestepScale

Norm = nn.BatchNorm2d | TimestepBatchNorm2d

_BETWEEN = (nn.AvgPool2d, nn.Identity)
"""Modules that may stand between a convolution and its norm: they map a constant channel to itself."""


@torch.no_grad()
def fold_norms(network: SpikingNetwork) -> None:
    """Fold every batch norm into the convolution that feeds it, in place.

    Identities are left behind, of norms per timestep `TimestepScale`s. Which convolution it is, is seen by one run
    of an empty image.

    Raises:
        InputError: for a norm that no convolution feeds.
    """
    for norm, conv in _pairs(network).items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, var = norm.running_mean.double(), norm.running_var.double()
        if isinstance(norm, TimestepBatchNorm2d):
            mean, var = mean[0], var[0]
        scale = norm.scale if isinstance(norm, ThresholdBatchNorm2d | TimestepBatchNorm2d) else 1.0
        gain = scale * norm.weight.double() / (var + norm.eps).sqrt()
        bias = torch.zeros_like(gain) if conv.bias is None else conv.bias.double()
        shift = norm.bias.double() + gain * (bias - mean)
        conv.weight.copy_(conv.weight.double() * gain[:, None, None, None])
        conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Norm):
                setattr(parent, name, TimestepScale(child) if isinstance(child, TimestepBatchNorm2d) else nn.Identity())


def _pairs(network: SpikingNetwork) -> dict[Norm, nn.Conv2d]:
    maker: dict[int, nn.Conv2d] = {}
    pairs: dict[Norm, nn.Conv2d] = {}
    alive: list[Tensor] = []  # a tensor's id is its own only while it lives

    def look(module: nn.Module, inputs: Any, output: Tensor) -> None:
        alive.append(output)
        if isinstance(module, nn.Conv2d):
            maker[id(output)] = module
        elif isinstance(module, _BETWEEN) and id(inputs[0]) in maker:
            maker[id(output)] = maker[id(inputs[0])]
        elif isinstance(module, Norm) and id(inputs[0]) in maker:
            pairs[module] = maker[id(inputs[0])]

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    try:
        network.step(network.start(torch.zeros(1, *network.sample_shape)))
    finally:
        for hook in hooks:
            hook.remove()
    norms = {module for module in network.modules() if isinstance(module, Norm)}
    if norms - set(pairs) or len(set(pairs.values())) < len(pairs):
        raise InputError("Expected a convolution of its own before every norm, to fold the norm into.")
    return pairs
