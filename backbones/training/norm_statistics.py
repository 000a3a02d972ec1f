"""Norm statistics of given weights, estimated anew: averaged or mixed training leaves statistics of others."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from backbones.networks.network import SpikingNetwork
from backbones.networks.norms import TimestepBatchNorm2d


@torch.no_grad()
def reestimate_norms(network: SpikingNetwork, batches: Iterable[tuple[Tensor, Tensor]], timesteps: int) -> None:
    """Set every norm's running estimates to the plain mean over these batches of (images, keys).

    Args:
        network: left in the mode that it was in.
        batches: `[B, C, H, W]` images and `[B]` keys.
        timesteps: T of the passes.
    """
    training = network.training
    with _plain_mean(network) as norms:
        network.train()
        for number, (images, keys) in enumerate(batches, 1):
            for norm in norms:
                norm.momentum = 1 / number
            network(images, keys, timesteps)
    network.train(training)


@contextmanager
def _plain_mean(network: nn.Module) -> Iterator[list[nn.BatchNorm2d | TimestepBatchNorm2d]]:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | TimestepBatchNorm2d)]
    before = [norm.momentum for norm in norms]
    try:
        yield norms
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
