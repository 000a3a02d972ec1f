"""Synthetic traces, and an observation of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seenn_env import Traces
    from seenn_env.observations import Observation, TraceShape


def make_traces(N: int = 600, T: int = 4, K: int = 5, *, split: str = "policy", seed: int = 0) -> Traces:
    """Traces whose answers get better with time: noise around the right class, averaged over timesteps."""
    from seenn_env import Traces

    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=N)
    hardness = rng.gamma(2.0, 0.7, size=(N, 1, 1))
    noise = rng.normal(size=(N, T, K)).cumsum(1) / np.arange(1, T + 1)[:, None]
    logits = (2.0 * np.eye(K)[labels][:, None] + 1.5 * hardness * noise).astype(np.float32)
    return Traces(logits=logits, labels=labels, split=split)


def trivial(right_from: int, T: int = 3, N: int = 300) -> Traces:
    """Traces that are right from one timestep on and wrong before, equally confident in both."""
    from seenn_env import Traces

    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=N)
    says = np.where(np.arange(1, T + 1) >= right_from, labels[:, None], (labels[:, None] + 1) % 4)
    logits = 2.0 * np.eye(4)[says] + rng.normal(scale=0.1, size=(N, T, 4))
    return Traces(logits=logits.astype(np.float32), labels=labels, split="policy")


def own_columns(shape: TraceShape) -> Observation:
    """The elapsed fraction and the largest probability, in other columns than the package's observations have them."""
    from seenn_env.observations import Observation

    def columns(logits, previous, timestep, timesteps):
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        return np.stack([timestep / timesteps, chances.max(-1) / chances.sum(-1)], -1)

    return Observation("own", shape.timesteps, ("elapsed", "largest"), np.zeros(2), np.ones(2), columns)
