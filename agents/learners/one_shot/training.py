"""Training of a `TimestepNetwork` on the expected loss over all timesteps (Li et al. 2023, section 3.3).

Letters: M images, N rows, T timesteps.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from agents.learners.one_shot.policy import TimestepNetwork, as_inputs, make_timestep_network
from backbones.argument_checks import AboveZero, FromZero, Positive, check_fields, check_kinds
from backbones.machine import torch_threads
from seenn_env import Traces
from seenn_env.observations import AnyObservation


@dataclass(frozen=True)
class TimestepSettings:
    """Settings of a `TimestepNetwork` and its training."""

    width: Positive = 16
    """Channels of the first layer."""
    epochs: Positive = 30
    """Passes over the images."""
    batch_size: Positive = 64
    """Images."""
    learning_rate: AboveZero = 2e-3
    """Of Adam, with cosine decay to 0."""
    weight_decay: FromZero = 1e-4
    """As in AdamW."""

    def __post_init__(self) -> None:
        check_fields(self)


@check_kinds
def train_timestep_network(
    traces: Traces,
    settings: TimestepSettings,
    *,
    observation: AnyObservation = "image",
    reward: str = "seenn",
    reward_options: dict[str, Any] | None = None,
    target_timesteps: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float, Callable[[], TimestepNetwork]], None] | None = None,
) -> TimestepNetwork:
    """A network that minimises the expected loss (minus the expected reward) over the rows.

    With the reward "seenn" that is the paper's loss, Σ_k v_k [β (1 - c_k) - 2^-(k-1) c_k] for v_k the probability of k
    timesteps and c_k = 1 where the prediction after k is correct. Rows of one image (its repeats) are averaged
    beforehand, which is exact: the loss is linear in them.

    All rows are training data. The arguments are those of `agents.train`; `on_progress` is called with the fraction
    done and a function that returns the policy at this time. A target has no effect on the training. An `InputError`
    for another observation, or traces without images.
    """
    used, back = np.unique(traces.image_places, return_inverse=True)
    N, T = traces.predictions.shape
    losses = -traces.rewards(reward, reward_options).astype(np.float64)
    summed = np.stack([np.bincount(back, losses[:, t], len(used)) for t in range(T)], 1)
    per_image = torch.from_numpy((summed * len(used) / N).astype(np.float32))
    inputs = as_inputs(traces.still_images[used])
    _, C, H, W = inputs.shape
    shape = (C, H, W)
    network = make_timestep_network(shape, T, settings.width, seed)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    batches = -(-len(used) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    generator = torch.Generator().manual_seed(seed)
    settings_of_policy = {"one-shot": asdict(settings)}

    def policy() -> TimestepNetwork:
        return TimestepNetwork(network.eval(), shape, T, settings.width, settings=settings_of_policy)

    done, total = 0, settings.epochs * batches
    with torch_threads(1):
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(used), generator=generator).chunk(batches):
                network.train()
                loss = (torch.softmax(network(inputs[rows]), 1) * per_image[rows]).sum(1).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                done += 1
                if on_progress is not None:
                    on_progress(done / total, policy)
    return policy()
