"""Exact evaluation: a policy over every row of traces, in T batched calls.

result = evaluate(policy, traces)
result.accuracy, result.mean_timesteps
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from backbones import InputError
from seenn_env.observations import AnyObservation, Observation
from seenn_env.rewards import Reward, pay
from seenn_env.traces import Traces


@runtime_checkable
class Policy(Protocol):
    """Whatever decides, by SB3's `predict`; `observation` names the observation that it reads."""

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]` (0 continue, 1 exit) and the next state for observations `[B, F]`."""


@runtime_checkable
class HindsightPolicy(Protocol):
    """Knows only afterwards when it would have exited (the oracle)."""

    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` in 1…T."""


@dataclass(frozen=True)
class Evaluation:
    """What a policy does on every row of traces."""

    exit_timesteps: np.ndarray
    """`[N]` in 1…T."""
    predictions: np.ndarray
    """`[N]` the answer given at the exit."""
    correct: np.ndarray
    """`[N]` bool."""
    timesteps: int
    """T."""
    rewards: np.ndarray | None = None
    """`[N]` where a reward was asked for."""
    energy_pj: np.ndarray | None = None
    """`[N]` spent up to and with the exit, where the traces have it."""

    @property
    def accuracy(self) -> float:
        """Fraction of right answers."""
        return float(self.correct.mean())

    @property
    def mean_timesteps(self) -> float:
        """Mean exit timestep."""
        return float(self.exit_timesteps.mean())

    @property
    def mean_energy_pj(self) -> float | None:
        """Mean energy of a row, in picojoules; None where the traces have none."""
        return None if self.energy_pj is None else float(self.energy_pj.mean(dtype=np.float64))

    @property
    def exit_counts(self) -> np.ndarray:
        """`[T]` rows that exit at each timestep."""
        return np.bincount(self.exit_timesteps - 1, minlength=self.timesteps)


def observation_of(policy: Any, observation: AnyObservation | None = None) -> AnyObservation:
    """The observation that a policy reads: as it says itself, else as the argument says, else "features"."""
    own = getattr(policy, "observation", None)
    return own if isinstance(own, str | Observation) else observation or "features"


def evaluate(
    policy: Policy | HindsightPolicy,
    traces: Traces,
    *,
    observation: AnyObservation | None = None,
    deterministic: bool = True,
    reward: Reward | None = None,
) -> Evaluation:
    """Run a policy over every row, exactly.

    Args:
        policy: anything with `predict` or `exit_timesteps`.
        traces: what to run it over.
        observation: what it reads, where it does not say so itself (a bare SB3 model).
        deterministic: passed on to `predict`.
        reward: also compute each row's reward.

    Raises:
        InputError: for actions or exit timesteps out of range.
    """
    N, T = len(traces), traces.timesteps
    if isinstance(policy, HindsightPolicy):
        exits = np.asarray(policy.exit_timesteps(traces))
        if exits.shape != (N,) or exits.min() < 1 or exits.max() > T:
            raise InputError(f"Expected exit timesteps [{N}] in 1…{T} from {policy!r}.")
    else:
        columns = traces.columns(observation_of(policy, observation))
        exits = np.full(N, T)
        running = np.ones(N, bool)
        state, starts = None, np.ones(N, bool)
        for t in range(1, T):
            actions, state = policy.predict(
                columns[:, t - 1], state=state, episode_start=starts, deterministic=deterministic
            )
            if np.shape(actions) != (N,) or not np.isin(actions, (0, 1)).all():
                raise InputError(f"Expected actions [{N}] of 0 (continue) or 1 (exit) from {policy!r}.")
            leaving = running & (np.asarray(actions) == 1)
            exits[leaving] = t
            running &= ~leaving
            starts = np.zeros(N, bool)
    rows = np.arange(N)
    energy = traces.energy(exits)
    correct = traces.correct[rows, exits - 1]
    return Evaluation(
        exit_timesteps=exits,
        predictions=traces.predictions[rows, exits - 1],
        correct=correct,
        timesteps=T,
        rewards=None if reward is None else pay(reward, correct, exits, T, energy),
        energy_pj=None if energy is None else np.asarray(energy.spent_pj),
    )
