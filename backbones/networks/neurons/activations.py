"""Activations of networks without time, written as neurons without memory, so that one body serves both.

    ann = build("resnet9", num_classes=10, timesteps=1, neuron={"type": "qcfs", "levels": 4})

`backbones.convert` makes a spiking network of it. All tensors of one call have one shape, `[B, …]`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.argument_checks import AboveZero, Positive, check_kinds
from backbones.networks.neurons.neuron import LIF


class Activation(LIF):
    """A function of the current alone, which is also its potential: `fire` computes its values, none below 0.

    `v_threshold` is 1: norms give currents of unit variance.
    """

    def __init__(self) -> None:
        super().__init__(1.0, 1.0, None)

    def settings(self) -> dict[str, Any]:
        """See `LIF.settings`; it has none."""
        return {}

    def charge(self, current: Tensor, v: Tensor | None) -> Tensor:
        """The current."""
        return current

    def reset(self, v: Tensor, spikes: Tensor) -> Tensor:
        """The current: there is nothing to reset."""
        return v


class QCFS(Activation):
    """Quantization-clip-floor-shift (Bu et al., ICLR 2022, equation 15, with the shift φ = ½).

        y = λ·clip(floor(z·L/λ + ½)/L, 0, 1)

    the mean output of an IF neuron of threshold λ that starts at λ/2 over T = L timesteps of the constant current z. λ
    is learned; the gradient of the floor is that of the identity (straight through).

    Args:
        levels: L, at least 1.
        threshold: initial λ, in standard deviations of the normed current.
    """

    @check_kinds
    def __init__(self, levels: Positive = 4, threshold: AboveZero = 2.0) -> None:
        super().__init__()
        self.levels = int(levels)
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def settings(self) -> dict[str, Any]:
        """See `LIF.settings`; the threshold is the learned one."""
        return {"levels": self.levels, "threshold": self.threshold.item()}

    def fire(self, v: Tensor) -> Tensor:
        """`[B, …]` multiples of λ/L from 0 to λ."""
        part = (v / self.threshold).clamp(0, 1)
        level = torch.floor(part.detach() * self.levels + 0.5) / self.levels
        if torch.is_grad_enabled():
            level = part + (level - part.detach())
        return level * self.threshold

    def extra_repr(self) -> str:
        """The settings, as `print` shows them."""
        return f"levels={self.levels}, threshold={self.threshold.item():.4g}"


class ReLU(Activation):
    """max(0, z), for networks that are converted by thresholds from data."""

    def fire(self, v: Tensor) -> Tensor:
        """`[B, …]` values of 0 and above."""
        return F.relu(v)

    def extra_repr(self) -> str:
        """It has no settings."""
        return ""


ACTIVATIONS: dict[str, type[Activation]] = {"qcfs": QCFS, "relu": ReLU}
