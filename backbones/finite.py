"""Networks in which what is finite stays finite.

A row's potential that is NaN or infinite stays so, and 0 times it is no 0: where there can be none, a row that starts
afresh need not be cleared of what was there before.
"""

import torch
from torch import Tensor, nn

from backbones.graphs import LAYERS
from backbones.neurons import LIF
from backbones.norms import TimestepScale

LARGEST = 1e6
"""Inputs are taken to be no larger."""

_LARGEST_WEIGHT = 1e4
"""Then a sum of 100,000 products is at most 10⁹ times as large as what it is of, and float32 goes to 10³⁸."""

_LAYERS = (*LAYERS.values(), TimestepScale, nn.Identity)


def stays_finite(*parts: nn.Module) -> bool:
    """Whether these layers give finite numbers for all inputs up to `LARGEST`; False where it is not known."""
    leaves = [module for part in parts for module in part.modules() if not any(module.children())]
    if not all(type(module) in _LAYERS or isinstance(module, LIF) for module in leaves):
        return False
    numbers = [value for part in parts for value in part.state_dict().values() if value.is_floating_point()]
    return all(bool((value.abs() <= _LARGEST_WEIGHT).all()) for value in numbers)


def bounded(inputs: Tensor) -> Tensor:
    """Inputs of which no number is larger than `LARGEST`, and NaN counts as 0."""
    if not inputs.is_floating_point():
        return inputs
    largest = min(LARGEST, torch.finfo(inputs.dtype).max)
    return torch.nan_to_num(inputs, nan=0.0).clamp_(-largest, largest)
