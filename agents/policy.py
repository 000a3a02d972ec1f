"""What the agents of this package have in common: a score, and a level from which on they exit.

Letters: B rows now, N rows of traces, T timesteps, F columns of an observation.
"""

from copy import deepcopy
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from backbones import InputError
from seenn_env import Observation, Traces, make_observation, observation_of
from seenn_env.observations import OBSERVATIONS, AnyObservation

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
    def observation(self) -> AnyObservation:
        """The observation that the policy reads."""

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


def own_generator(rng: np.random.Generator | None, seed: int) -> np.random.Generator:
    """A generator to draw from: a copy of a state's, which stays as it was, or one of the seed where there is none."""
    return np.random.default_rng(seed) if rng is None else deepcopy(rng)


class Drawing(NamedTuple):
    """The state of a policy that draws its actions."""

    inner: Any
    """Its state otherwise."""
    rng: np.random.Generator
    """The next call draws from a copy of it."""


def drawing(state: Any, episode_start: np.ndarray | None, seed: int) -> Drawing:
    """What a call of `predict` draws from, itself no part of any state yet.

    A run that carries its state is the same again; a call without state or start draws anew each time.
    """
    if isinstance(state, Drawing):
        return Drawing(state.inner, own_generator(state.rng, seed))
    alone = state is None and (episode_start is None or not np.all(episode_start))
    return Drawing(state, np.random.default_rng() if alone else np.random.default_rng(seed))


def own_settings(policy: Any) -> None:
    """Give a frozen policy settings of its own: copies at other levels share none."""
    object.__setattr__(policy, "settings", deepcopy(policy.settings))


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
        found[:, t], state = step_scores(policy, columns[:, t].copy(), state, starts)
        starts = np.zeros(N, bool)
    return found


def elapsed_of(observation: np.ndarray, name: AnyObservation, column: int | None = None) -> np.ndarray:
    """`[B]` timestep / T of an observation: that column, or where this package's observation of that name has it.

    Raises:
        InputError: without a column, for an observation that is not this package's.
    """
    if column is None:
        if not isinstance(name, str) or name not in OBSERVATIONS:
            raise InputError(
                f"Expected an observation of this package, which says the timestep, got {name!r}: use one of them."
            )
        column = -1 if name == "logits" else ELAPSED
    elapsed: np.ndarray = observation[:, column]
    return elapsed


def timestep_of(observation: np.ndarray, name: AnyObservation, T: int, column: int | None = None) -> np.ndarray:
    """`[B]` int64 timesteps, from 1, of an observation; see `elapsed_of`."""
    return np.rint(elapsed_of(observation, name, column) * T).astype(np.int64)


def elapsed_column(spec: Observation) -> int:
    """Which of an observation's columns is timestep / T.

    Raises:
        InputError: where none has the name "elapsed".
    """
    if "elapsed" not in spec.names:
        raise InputError(
            f"Expected a column 'elapsed' (timestep / T) of observation {spec.name!r}, got {', '.join(spec.names)}: "
            "add it, so that a policy knows the timestep."
        )
    return spec.names.index("elapsed")
