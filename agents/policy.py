"""What the agents of this package have in common: a score, and a level from which on they exit.

Letters: B rows now, N rows of traces, T timesteps, F columns of an observation.
"""

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from backbones import InputError
from seenn_env import Traces, make_observation, observation_of

ELAPSED = make_observation("features", timesteps=1, num_classes=2).names.index("elapsed")


@runtime_checkable
class ScoredPolicy(Protocol):
    """Exits as soon as `score(observation) ≥ level`: one number to turn, whatever the score is made of.

    Optional, where the score is made of more than the present observation:
    - `score_step(observation, state, episode_start) -> (score, state)`: of the steps before, too; `score` is
      then that of a first step.
    - `trace_scores(traces) -> [N, T-1]`: of what only the traces have, such as the image.

    Optional, for what has to be fitted to data before it has a score:
    - `fitted: bool`, and `fit(traces) -> Self`, which `calibrate` calls where it is not fitted.
    - `variants(traces) -> iterable of Self`: the settings among which `calibrate` chooses, besides the level.
    """

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


def check_timesteps(policy: Any, timesteps: int) -> None:
    """Refuse a policy that was made for another T, where it says which.

    Raises:
        InputError: naming both.
    """
    plain = getattr(policy, "policy", policy)  # of a mixed one
    made_for = getattr(plain, "timesteps", None) or getattr(plain, "settings", {}).get("timesteps")
    if made_for and made_for != timesteps:
        raise InputError(
            f"Expected a policy for the network's {timesteps} timesteps, got one that was made for {made_for}: "
            "train or calibrate it on traces of this network."
        )


def step_scores(
    policy: ScoredPolicy, observation: np.ndarray, state: Any = None, episode_start: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    """`[B]` scores of a policy at one step, and its next state (None, unless it looks back)."""
    step = getattr(policy, "score_step", None)
    if step is None:
        return policy.score(observation), None
    scores, state = step(observation, state, episode_start)
    return scores, state


def scores_of(policy: ScoredPolicy, traces: Traces) -> np.ndarray:
    """`[N, T-1]` a policy's score at every timestep at which there is something to decide."""
    whole = getattr(policy, "trace_scores", None)
    if whole is not None:
        scores: np.ndarray = whole(traces)
        return scores
    columns = traces.columns(observation_of(policy))
    N, T, _ = columns.shape
    found, state, starts = np.empty((N, T - 1)), None, np.ones(N, bool)
    for t in range(T - 1):
        found[:, t], state = step_scores(policy, columns[:, t], state, starts)
        starts = np.zeros(N, bool)
    return found


def elapsed_of(observation: np.ndarray, name: str) -> np.ndarray:
    """`[B]` timestep / T of an observation of this package: the last of the logits, else where the features have it."""
    elapsed: np.ndarray = observation[:, -1 if name == "logits" else ELAPSED]
    return elapsed


def timestep_of(observation: np.ndarray, name: str, T: int) -> np.ndarray:
    """`[B]` int64 timesteps, from 1, of an observation of this package."""
    return np.rint(elapsed_of(observation, name) * T).astype(np.int64)
