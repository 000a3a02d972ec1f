"""Fan-out of a layer's inputs (the synapses of each one), and its exact sum over a row's inputs.

Letters: B rows, n inputs of a row.
"""

import numpy as np
import torch
from torch import Tensor, nn

from backbones.errors import InputError, kind_of

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)
"""Layers whose synapses can be counted."""

_EXACT = 2**24
"""float32 represents every whole number below."""
_DIGIT = 256
"""bfloat16 and TensorFloat-32 represent every whole number up to this one."""


def counted_layers(network: nn.Module) -> list[nn.Module]:
    """The layers of a network whose synapses can be counted; an `InputError` for none, or weights anywhere else."""
    if not isinstance(network, nn.Module):
        raise InputError(
            f"Expected a network that is a torch.nn.Module to count operations, got {kind_of(network)}: "
            "count inside it, or do without the energy."
        )
    layers: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for path, module in network.named_modules():
        if module in inside:
            continue
        if isinstance(module, LAYERS):
            layers.append(module)
            inside |= set(module.modules())
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if sum(size > 1 for size in parameter.shape) > 1 and not isinstance(module, nn.LayerNorm):
                raise InputError(
                    f"Expected synapses in linear layers and convolutions, got {name} {list(parameter.shape)} of the "
                    f"{type(module).__name__} {path or 'itself'!r}: operations of it cannot be counted."
                )
    if not layers:
        raise InputError(
            f"Expected a network of linear layers and convolutions to count operations, got {kind_of(network)} "
            "that has none."
        )
    return layers


def fan_out(layer: nn.Module, shape: torch.Size, *, dense: bool = False) -> Tensor:
    """`[*shape]` int64 number of a layer's weights that each input of a row is multiplied with, on the CPU.

    In a convolution it depends on the place (border, stride, padding, dilation). The sum of the layer's outputs with
    every weight 1 and no bias is linear in the inputs, and its derivatives are these numbers. `dense` counts weights
    that are 0 too.
    """
    weight: Tensor = layer.weight.detach().cpu()  # type: ignore[operator]
    present = torch.ones_like(weight, dtype=torch.bool) if dense else weight != 0
    if isinstance(layer, nn.Linear):
        return present.sum(0).expand(shape)
    kind = next(kind for kind in CONVOLUTIONS if isinstance(layer, kind))
    assert isinstance(layer, CONVOLUTIONS)
    # With every weight present, all channels of a group are alike: one represents them.
    whole = bool(present.all())
    before, after, groups = (1, 1, 1) if whole else (layer.in_channels, layer.out_channels, layer.groups)
    settings = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    if "Transpose" in kind.__name__:
        settings["output_padding"] = layer.output_padding
    with torch.random.fork_rng(devices=[]):  # a new layer draws weights
        ones = kind(before, after, **settings, groups=groups, bias=False, dtype=torch.float64)
    ones.weight.data = torch.ones_like(ones.weight) if whole else present.double()
    with torch.inference_mode(False), torch.enable_grad():
        inputs = torch.zeros(1, before, *shape[1:], dtype=torch.float64, requires_grad=True)
        (reached,) = torch.autograd.grad(ones(inputs).sum(), inputs)
    each = layer.out_channels // layer.groups if whole else 1
    return (each * reached[0].round().long()).expand(shape)


class ExactDot:
    """Exact sum of the whole `numbers` `[n]` (at least 0) that a row's inputs select, by float32 products.

    The numbers are divided by their greatest common divisor and split into digits to the base 256, and long sums are
    cut so that no partial sum reaches 2²⁴: float32 represents each of them.
    """

    def __init__(self, numbers: Tensor, device: torch.device) -> None:
        n = len(numbers)
        unit = int(np.gcd.reduce(numbers.numpy())) or 1
        rest = numbers // unit
        self._parts: list[tuple[int, slice, Tensor]] = []
        while True:
            digit = rest % _DIGIT
            length = n if int(digit.sum()) < _EXACT else _EXACT // _DIGIT
            for begin in range(0, n, max(length, 1)):
                cut = slice(begin, min(begin + length, n))
                self._parts.append((unit, cut, digit[cut].to(device, torch.float32)))
            rest, unit = rest // _DIGIT, unit * _DIGIT
            if not rest.any():
                return

    def parts(self, selected: Tensor) -> list[tuple[Tensor, int]]:
        """Pairs of `[B]` float32 whole numbers and their unit, of `[B, n]` zeros and ones: the sums are Σ part·unit."""
        selected = selected.float()
        if torch.is_autocast_enabled(selected.device.type):  # it would round the sums
            with torch.autocast(selected.device.type, enabled=False):
                return self.parts(selected)
        if len(self._parts) == 1:
            return [(torch.mv(selected, self._parts[0][2]), self._parts[0][0])]
        return [(torch.mv(selected[:, cut], digit), unit) for unit, cut, digit in self._parts]

    def __call__(self, selected: Tensor) -> Tensor:
        """`[B]` int64 sums of the numbers that `[B, n]` zeros and ones select."""
        return sum((part.long() * unit for part, unit in self.parts(selected)), torch.tensor(0))
