"""The last layer of a network."""

import torch.nn.functional as F
from torch import Tensor, nn

_FEWEST = 4
"""Of fewer outputs, some processors' matrix products round a row by its place among the others."""


class NarrowLinear(nn.Linear):
    """A linear layer of few outputs, computed with outputs of weight 0 beside them, so that rows stay independent."""

    def forward(self, input: Tensor) -> Tensor:
        """`[B, F]` to `[B, K]`."""
        more = _FEWEST - self.out_features
        return F.linear(input, F.pad(self.weight, (0, 0, 0, more)), F.pad(self.bias, (0, more)))[:, : self.out_features]


def readout(features: int, classes: int) -> nn.Linear:
    """The layer from pooled spikes `[B, features]` to outputs `[B, classes]`."""
    return (nn.Linear if classes >= _FEWEST else NarrowLinear)(features, classes)
