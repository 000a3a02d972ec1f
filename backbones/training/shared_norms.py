"""Norms with statistics over the images of all processes while training.

with process_group() as group, shared_statistics(network, group): …

With averaged gradients, W processes then equal one process with W times the batch. (PyTorch's own SyncBatchNorm refuses
CPUs.) Each norm waits for all processes twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.hooks import forwards_replaced
from backbones.machine.processes import ProcessGroup
from backbones.networks.norms import ThresholdBatchNorm2d, TimestepBatchNorm2d


@contextmanager
def shared_statistics(network: nn.Module, group: ProcessGroup) -> Iterator[None]:
    """Norms in training mode take their statistics over all processes' images inside the block.

    An `InputError` for norms per timestep in several processes.
    """
    if not group.alone and any(isinstance(module, TimestepBatchNorm2d) for module in network.modules()):
        raise InputError(
            "Expected norms whose statistics processes can share (tdbn, bn), got tdbn-per-timestep: let each process "
            "take its own (own_statistics)."
        )
    norms = [] if group.alone else [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with forwards_replaced(norms, _shared):
        yield


def _shared(norm: nn.BatchNorm2d, alone: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    scale = norm.scale if isinstance(norm, ThresholdBatchNorm2d) else 1.0

    def forward(x: Tensor) -> Tensor:
        if not norm.training:
            return alone(x)
        inner = torch.promote_types(x.dtype, torch.float32)
        wide = x.to(inner)
        count = torch.full((1,), x.numel() // x.shape[1], dtype=inner, device=x.device)
        sums = torch.cat([count, wide.sum((0, 2, 3))])
        sums = _Sum.apply(sums)
        mean = sums[1:] / sums[0]
        # Around the common mean: E[x²] - mean² cancels.
        centred = wide - mean.view(-1, 1, 1)
        var = _Sum.apply(centred.square().sum((0, 2, 3))) / sums[0]
        with torch.no_grad():
            assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
            assert norm.momentum is not None
            assert norm.num_batches_tracked is not None
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
            unbiased = var * (sums[0] / (sums[0] - 1))
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
            norm.num_batches_tracked.add_(1)
        factor = norm.weight * scale / torch.sqrt(var + norm.eps)
        return (centred * factor.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)).to(x.dtype)

    return forward


class _Sum(torch.autograd.Function):
    """The sum over all processes, with the sum of their gradients."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total
