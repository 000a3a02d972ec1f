"""What the agents of this package have in common: a score, and a level from which on they exit."""

from typing import Protocol, Self, runtime_checkable

import numpy as np

from seenn_env import Traces, observation_of


@runtime_checkable
class ScoredPolicy(Protocol):
    """Exits as soon as `score(observation) ≥ level`: one number to turn, whatever the score is made of."""

    @property
    def observation(self) -> str:
        """Name of the observation that the policy reads."""

    @property
    def level(self) -> float:
        """The score from which on the policy exits."""

    def score(self, observation: np.ndarray) -> np.ndarray:
        """`[B]` float64, the higher the more the policy wants to exit, for observations `[B, F]`."""

    def at_level(self, level: float) -> Self:
        """The same policy with another level."""


def scores_of(policy: ScoredPolicy, traces: Traces) -> np.ndarray:
    """`[N, T-1]` a policy's score at every timestep at which there is something to decide."""
    columns = traces.columns(observation_of(policy))
    N, T, _ = columns.shape
    if T == 1:
        return np.empty((N, 0))
    return np.stack([policy.score(columns[:, t]) for t in range(T - 1)], 1)
