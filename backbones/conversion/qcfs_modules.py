"""Recognition of foreign modules that compute QCFS, with their λ and L, by their outputs.

    y = λ·clip(floor(z·L/λ + ½)/L, 0, 1)

The official code of QCFS and of SEENN has such a module (`IF`).
"""

import copy

import torch
from torch import Tensor, nn

Staircase = tuple[float, int]
"""λ and L of a QCFS module."""

_MOST_LEVELS = 1024
_OFFSETS = (-0.49, -0.3, 0.0, 0.3, 0.49)
"""Places on a step, in units of its width, off its edges."""


def read_staircase(module: nn.Module) -> Staircase | None:
    """λ and L of a module that computes QCFS of each number by itself; None for any other.

    A copy is run. Modules with tensors of more than one number are not run.
    """
    if any(tensor.numel() > 1 for tensor in (*module.parameters(), *module.buffers())):
        return None
    values = _outputs(module, 2.0 ** torch.arange(-20, 21).double())
    if values is None or not bool(values[-1] > 0) or not bool((values[-4:] == values[-1]).all()):
        return None
    threshold = float(values[-1])
    values = _outputs(module, torch.linspace(0, threshold, 8 * _MOST_LEVELS, dtype=torch.float64))
    if values is None or not bool((values > 0).any()):
        return None
    levels = round(threshold / float(values[values > 0].min()))
    return (threshold, levels) if levels <= _MOST_LEVELS and is_staircase(module, threshold, levels) else None


def is_staircase(module: nn.Module, threshold: float, levels: int) -> bool:
    """Whether a module computes QCFS of that λ and L, of each number by itself."""
    if not (0 < threshold < float("inf") and levels >= 1):
        return False
    steps = torch.arange(-2, levels + 3).double()
    currents = (steps[:, None] + torch.tensor(_OFFSETS).double()).flatten() * (threshold / levels)
    wanted = steps.clamp(0, levels).repeat_interleave(len(_OFFSETS)) * (threshold / levels)
    for wide in (False, True):  # as channels, and as places
        values = _outputs(module, currents, wide)
        if values is None or not torch.allclose(values, wanted, rtol=0, atol=1e-4 * threshold):
            return False
    return True


@torch.no_grad()
def _outputs(module: nn.Module, currents: Tensor, wide: bool = False) -> Tensor | None:
    """`[N]` float64 values of currents, computed as `[2, N, 1, 1]` (or `[2, 1, 1, N]`) in two orders.

    None where the module raises, or a value depends on the others.
    """
    order = torch.randperm(len(currents), generator=torch.Generator().manual_seed(0))
    one = next((tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()), None)
    inputs = torch.stack([currents, currents[order]]).to(torch.zeros(1) if one is None else one)
    shape = (2, 1, 1, -1) if wide else (2, -1, 1, 1)
    try:
        values = copy.deepcopy(module).eval()(inputs.view(shape))
    except Exception:  # foreign code: an exception means that it is no such module
        return None
    if not isinstance(values, Tensor) or values.shape != inputs.view(shape).shape:
        return None
    straight, shuffled = values.flatten(1).double().cpu()
    return straight if torch.equal(straight[order], shuffled) else None
