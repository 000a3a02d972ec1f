"""Norms between convolution and neuron.

Letters: T timesteps, B rows, C channels. Time is merged into the batch while training: `[T·B, C, H, W]`.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import unknown_name

MakeNorm = Callable[..., nn.Module]
"""`make_norm(channels, alpha=1.0)`."""


class ThresholdBatchNorm2d(nn.BatchNorm2d):
    """Threshold-dependent batch norm, tdBN (Zheng et al., AAAI 2021, equations 5 to 7).

        y = γ·α·V_th·(x - μ) / √(σ² + ε) + β

    μ and σ² are a channel's mean and variance over time, batch and space together, so that currents arrive
    on the scale of the threshold; in evaluation mode they are the running estimates. γ starts at 1, β at 0.

    Args:
        channels: C.
        alpha: α: 1, or 1/√2 where two branches add up to one current.
        v_threshold: V_th of the neuron that follows.
    """

    def __init__(self, channels: int, *, alpha: float = 1.0, v_threshold: float = 1.0) -> None:
        super().__init__(channels)
        self.scale = alpha * v_threshold

    def forward(self, input: Tensor) -> Tensor:
        """`[T·B, C, H, W]` to the same."""
        if self.training:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        assert self.momentum is not None
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight * self.scale,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        """The settings, as `print(network)` shows them."""
        return f"{self.num_features}, scale={self.scale:.4g}, eps={self.eps}, momentum={self.momentum}"


NORMS = ("tdbn", "bn")


def norm_maker(name: str, v_threshold: float) -> MakeNorm:
    """A function that makes norms of that kind: `make(channels, alpha=1.0)`.

    Args:
        name: "tdbn", or "bn" for the plain batch norm (which has no α).
        v_threshold: of the neurons that follow.

    Raises:
        InputError: for an unknown name.
    """
    if name not in NORMS:
        raise unknown_name("norm", name, NORMS)

    def make(channels: int, alpha: float = 1.0) -> nn.Module:
        if name == "bn":
            return nn.BatchNorm2d(channels)
        return ThresholdBatchNorm2d(channels, alpha=alpha, v_threshold=v_threshold)

    return make
