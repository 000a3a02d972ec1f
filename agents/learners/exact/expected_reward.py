"""The exact expected reward of exiting by chance, for every row at once: no sampling is needed.

Letters: N rows, T timesteps; leading dimensions are free.
"""

import torch
from torch import Tensor


def exit_distribution(probability: Tensor) -> Tensor:
    """`[…, N, T]` how likely a row exits at each timestep.

    With π_t = `probability` `[…, N, T-1]` of exiting at t once there, it is π_t Π_{s<t} (1 - π_s), and at T what
    is left.
    """
    stays = torch.cumprod(1 - probability, dim=-1)
    certain = stays.new_ones(*stays.shape[:-1], 1)
    return torch.cat([certain, stays], dim=-1) * torch.cat([probability, certain], dim=-1)


def expected_reward(probability: Tensor, rewards: Tensor) -> Tensor:
    """`[…, N]` Σ_t π_t Π_{s<t} (1 - π_s) r_t with π_T = 1, of rewards `[N, T]`; differentiable in `probability`.

    The gradient is exact too: ∂/∂π_t = Π_{s<t} (1 - π_s) · (r_t - the expected reward of going on from t).
    """
    return (exit_distribution(probability) * rewards).sum(-1)


def expected_timesteps(probability: Tensor) -> Tensor:
    """`[…, N]` the mean exit timestep."""
    distribution = exit_distribution(probability)
    return (distribution * torch.arange(1.0, distribution.shape[-1] + 1)).sum(-1)
