"""Re-estimation of norm statistics for averaged weights, or after training with mixed timesteps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from backbones.networks.network import SpikingNetwork
from backbones.networks.norms import TimestepBatchNorm2d


@torch.no_grad()
def reestimate_norms(network: SpikingNetwork, batches: Iterable[tuple[Tensor, Tensor]], timesteps: int) -> None:
    """Set every norm's running estimates to their plain mean over batches of images and keys; the mode stays."""
    training = network.training
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | TimestepBatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    try:
        network.train()
        for number, (images, keys) in enumerate(batches, 1):
            for norm in norms:
                norm.momentum = 1 / number
            network(images, keys, timesteps)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    network.train(training)
