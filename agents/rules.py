"""Rules that need no training: fixed and random timesteps, thresholds on a score, the oracle.

    policy = Confidence(threshold=0.9)
    actions, state = policy.predict(observation)

Letters: B rows, F columns of the observation "features", T timesteps.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from backbones import InputError
from seenn_env import Traces, make_observation

_COLUMN = {name: column for column, name in enumerate(make_observation("features", timesteps=1, num_classes=2).names)}
ELAPSED = _COLUMN["elapsed"]


@dataclass(frozen=True)
class FixedTimestep:
    """Exits at one timestep, whatever it sees."""

    timestep: int
    observation: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        if self.timestep < 1:
            raise InputError(f"Expected a timestep of at least 1, got {self.timestep}.")

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Actions `[B]`; the state counts timesteps."""
        timestep = np.ones(len(observation), np.int64) if state is None else state[0] + 1
        if episode_start is not None:
            timestep = np.where(episode_start, 1, timestep)
        return (timestep >= self.timestep).astype(np.int64), (timestep,)


@dataclass(frozen=True)
class Uniform:
    """Exits at a timestep drawn uniformly from 1…T, whatever it sees."""

    seed: int = 0
    observation: ClassVar[str] = "features"

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, np.random.Generator] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.random.Generator]]:
        """Actions `[B]`; the state holds each row's draw, so that a run from the start is the same again."""
        due, rng = (np.empty(len(observation)), np.random.default_rng(self.seed)) if state is None else state
        starts = np.ones(len(observation), bool) if state is None else episode_start
        if starts is not None and np.any(starts):
            due = np.where(starts, rng.random(len(observation)), due)
        return (observation[:, ELAPSED] >= due).astype(np.int64), (due, rng)


@dataclass(frozen=True)
class _Threshold:
    """A threshold on one column of the observation "features"."""

    threshold: float
    observation: ClassVar[str] = "features"
    column: ClassVar[str]
    sign: ClassVar[int] = 1
    """+1 exits at or above the threshold, -1 at or below."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"Expected a threshold in [0, 1], got {self.threshold}.")

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, None]:
        """Actions `[B]`."""
        return (self.score(observation) >= self.level).astype(np.int64), None

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.sign * self.threshold

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        return self.sign * observation[:, _COLUMN[self.column]].astype(np.float64)

    def at_level(self, level: float) -> Self:
        """See `ScoredPolicy.at_level`; a level out of range becomes the nearest in range."""
        return replace(self, threshold=float(np.clip(self.sign * level, 0, 1)))


@dataclass(frozen=True)
class Confidence(_Threshold):
    """Exits when the largest probability is at least the threshold (SEENN-I, Li et al. 2023, section 3.2)."""

    threshold: float = 0.9
    column = "confidence"


@dataclass(frozen=True)
class Entropy(_Threshold):
    """Exits when the entropy over log K is at most the threshold (DT-SNN, Li et al., DAC 2023)."""

    threshold: float = 0.1
    column = "entropy"
    sign = -1


@dataclass(frozen=True)
class Margin(_Threshold):
    """Exits when the largest probability exceeds the second by at least the threshold."""

    threshold: float = 0.8
    column = "margin"


@dataclass(frozen=True)
class Oracle:
    """Exits at the first correct timestep, and at 1 where none is correct: a bound in hindsight."""

    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` in 1…T."""
        return np.where(traces.correct.any(1), traces.first_correct, 1)
