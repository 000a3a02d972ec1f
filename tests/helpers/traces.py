"""Synthetic traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seenn_env import Traces


def make_traces(N: int = 600, T: int = 4, K: int = 5, *, split: str = "policy", seed: int = 0) -> Traces:
    """Traces whose answers get better with time: noise around the right class, averaged over timesteps."""
    from seenn_env import Traces

    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=N)
    hardness = rng.gamma(2.0, 0.7, size=(N, 1, 1))
    noise = rng.normal(size=(N, T, K)).cumsum(1) / np.arange(1, T + 1)[:, None]
    logits = (2.0 * np.eye(K)[labels][:, None] + 1.5 * hardness * noise).astype(np.float32)
    return Traces(logits=logits, labels=labels, split=split)
