"""Thresholds from data: percentiles of the activations of a network without time on some images."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.networks.neurons.neuron import LIF
from backbones.networks.stepped_network import SteppedNetwork


class _Largest:
    """The exact k-th largest of values that are added in batches."""

    def __init__(self, count: int, percentile: float) -> None:
        # Nearest rank: the smallest value that at least this part of the values does not exceed.
        rank = max(1, math.ceil(round(percentile / 100 * count, 6)))
        self.k = count - rank + 1
        self.values: Tensor | None = None

    def add(self, values: Tensor) -> None:
        values = values.detach().flatten()
        if self.values is not None:
            values = torch.cat([self.values, values])
        self.values = values.topk(min(self.k, len(values)), sorted=False).values

    def result(self) -> float:
        assert self.values is not None
        return self.values.min().item()


@torch.no_grad()
def thresholds_of(
    network: SteppedNetwork,
    activations: Mapping[str, nn.Module],
    images: Tensor,
    percentile: float,
    batch_size: int = 128,
) -> dict[str, float]:
    """The percentile of each activation's values over all images and places; 1 where they are all 0.

    The percentile is in (0, 100], by nearest rank; 100 is the maximum. An `InputError` for no images, or activations
    that are not finite.
    """
    if len(images) == 0:
        raise InputError("Expected images to set thresholds on, got none.")
    paths = {id(module): path for path, module in activations.items()}
    largest: dict[str, _Largest] = {}

    def fire(neuron: LIF, current: Tensor) -> Tensor:
        values = neuron.fire(current)
        path = paths[id(neuron)]
        if path not in largest:
            largest[path] = _Largest(len(images) * values[0].numel(), percentile)
        largest[path].add(values)
        return values

    for batch in images.split(batch_size):
        network.body(network.start(batch).source, fire)
    thresholds = {path: largest[path].result() for path in activations if path in largest}
    for path, threshold in thresholds.items():
        if not math.isfinite(threshold):
            raise InputError(f"Expected finite activations on the images, got {threshold} in {path}.")
    return {path: threshold if threshold > 0 else 1.0 for path, threshold in thresholds.items()}
