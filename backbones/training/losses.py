"""Losses over the outputs of all timesteps."""

import torch
import torch.nn.functional as F
from torch import Tensor


def tet_loss(
    outputs: Tensor, labels: Tensor, *, lamb: float = 0.05, target: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Temporal efficient training (Deng et al., TET, ICLR 2022, equations 9 to 11).

        1/T Σ_t [(1 - λ)·CE(O_t, y) + λ·MSE(O_t, φ)]

    Args:
        outputs: `[T, B, K]` each timestep's own output, not the mean so far.
        labels: `[B]` int64.
        lamb: λ in [0, 1], the weight of the regulariser that holds outputs near φ.
        target: φ, the neurons' threshold in the paper.
        label_smoothing: of the cross-entropy.
    """
    T = len(outputs)
    ce = F.cross_entropy(outputs.flatten(0, 1), labels.repeat(T), label_smoothing=label_smoothing)
    if lamb == 0:
        return ce
    return (1 - lamb) * ce + lamb * torch.mean((outputs - target) ** 2)


def mean_loss(outputs: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the mean output over time (`[T, B, K]` outputs, `[B]` labels)."""
    return F.cross_entropy(outputs.mean(0), labels, label_smoothing=label_smoothing)
