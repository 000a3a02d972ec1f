"""Batch-norm folding: norms become part of the convolutions before them.

    y = γ·(W∗x - μ)/√(σ² + ε) + β = (g·W)∗x + (β - g·μ),   g = γ/√(σ² + ε)

tdBN's γ is multiplied by its scale α·V_th. A convolution's own bias b counts as μ - b. Of norms per timestep, the first
timestep's are folded, and a `TimestepScale` of the others remains.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.hooks import hooked
from backbones.networks.norms import ThresholdBatchNorm2d, TimestepBatchNorm2d, TimestepScale
from backbones.networks.stepped_network import SteppedNetwork

Norm = nn.BatchNorm2d | TimestepBatchNorm2d

_TOLERANCE = 1e-3
"""Accepted difference of folded outputs, in parts of the largest: thousands of roundings."""


@torch.no_grad()
def fold_norms(network: SteppedNetwork) -> None:
    """Fold every batch norm into the convolution that feeds it, in place.

    The convolutions are found by one run of an empty image. The folded network is compared with the plain one with
    ReLUs in the place of the neurons, where no rounding can flip a spike. An `InputError` for a norm that no
    convolution feeds, or a convolution that feeds other layers too.
    """
    pairs = _pairs(network)
    wanted = _outputs(network) if pairs else None
    for norm, conv in pairs.items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, var = norm.running_mean.double(), norm.running_var.double()
        if isinstance(norm, TimestepBatchNorm2d):
            mean, var = mean[0], var[0]
        scale = norm.scale if isinstance(norm, ThresholdBatchNorm2d | TimestepBatchNorm2d) else 1.0
        gain = scale * (torch.ones_like(var) if norm.weight is None else norm.weight.double()) / (var + norm.eps).sqrt()
        bias = torch.zeros_like(gain) if conv.bias is None else conv.bias.double()
        shift = (torch.zeros_like(gain) if norm.bias is None else norm.bias.double()) + gain * (bias - mean)
        conv.weight.copy_(conv.weight.double() * gain[:, None, None, None])
        conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Norm):
                setattr(parent, name, TimestepScale(child) if isinstance(child, TimestepBatchNorm2d) else nn.Identity())
    if wanted is not None:
        folded, largest = _outputs(network), float(wanted.nan_to_num(0, 0, 0).abs().max())
        if not torch.allclose(folded, wanted, rtol=_TOLERANCE, atol=_TOLERANCE * largest, equal_nan=True):
            raise InputError("Expected convolutions that feed their norms alone, to fold the norms into, got others.")


def _outputs(network: SteppedNetwork) -> Tensor:
    """`[2, K]` outputs of two images of noise, with ReLUs in the place of the neurons."""
    noise = torch.rand(2, *network.sample_shape, generator=torch.Generator().manual_seed(0))
    state = network.start(noise)
    current = network.current(state.source, state.keys, state.timestep + 1)
    return network.head(network.body(current, lambda neuron, current: F.relu(current)))


def _pairs(network: SteppedNetwork) -> dict[Norm, nn.Conv2d]:
    """Each norm, and the convolution that feeds it."""
    source: dict[int, nn.Conv2d] = {}  # by the id of a tensor
    pairs: dict[Norm, nn.Conv2d] = {}
    alive: list[Tensor] = []  # ids are unique among living tensors only

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        alive.append(output)
        if isinstance(module, nn.Conv2d):
            source[id(output)] = module
        elif _keeps_constants(module) and id(inputs[0]) in source:
            source[id(output)] = source[id(inputs[0])]
        elif isinstance(module, Norm) and id(inputs[0]) in source:
            pairs[module] = source[id(inputs[0])]

    with hooked(network.modules(), record):
        network.step(network.start(torch.zeros(1, *network.sample_shape)))
    norms = {module for module in network.modules() if isinstance(module, Norm)}
    if norms - set(pairs) or len(set(pairs.values())) < len(pairs):
        raise InputError("Expected a convolution of its own before every norm, to fold the norm into.")
    return pairs


def _keeps_constants(module: nn.Module) -> bool:
    """Whether a module maps constant channels to themselves, and may stand between a convolution and its norm."""
    if isinstance(module, nn.AvgPool2d):
        padded = module.padding not in (0, (0, 0)) and module.count_include_pad
        return module.divisor_override is None and not padded
    return isinstance(module, nn.Identity)
