"""Rules without training: fixed and random timesteps, thresholds on a score, the oracle.

    policy = Confidence(threshold=0.9)
    actions, state = policy.predict(observation)

Letters: B rows, T timesteps.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agents.rules.draws import Draws, name_episodes, next_draws, uniform
from agents.rules.predicting import checks_arguments
from agents.rules.score import COLUMNS, ScoredPolicy
from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from seenn_env import Traces


@dataclass(frozen=True)
class FixedTimestep:
    """Exits at one timestep of every row."""

    timestep: Positive
    observation: ClassVar[str] = "features"
    reads_nothing: ClassVar[bool] = True
    """Observations of any kind are taken."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def least_timesteps(self) -> int:
        """The smallest T."""
        return self.timestep

    @checks_arguments
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
    """Exits at a timestep drawn uniformly from 1…T."""

    seed: Natural = 0
    observation: ClassVar[str] = "features"
    reads_nothing: ClassVar[bool] = True
    """Observations of any kind are taken."""

    def __post_init__(self) -> None:
        check_fields(self)

    def name_episodes(self, state: Any, starts: np.ndarray, names: np.ndarray, deterministic: bool) -> Any:
        """See `seenn_env.Policy`."""
        return name_episodes(state, starts, names)

    @checks_arguments
    def predict(
        self,
        observation: np.ndarray,
        state: Draws | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Draws]:
        """Actions `[B]`, by one draw in each episode."""
        draws = next_draws(state, episode_start, len(observation))
        exits = observation[:, COLUMNS["elapsed"]] >= uniform(self.seed, draws.episode)
        return exits.astype(np.int64), draws


@dataclass(frozen=True)
class Confidence(ScoredPolicy):
    """Exits when the largest probability is at least the threshold (SEENN-I, Li et al. 2023, section 3.2)."""

    threshold: float = 0.9
    observation = "features"
    column = "confidence"
    largest = 1.0


@dataclass(frozen=True)
class Entropy(ScoredPolicy):
    """Exits when the entropy over log K is at most the threshold (DT-SNN, Li et al., DAC 2023)."""

    threshold: float = 0.1
    observation = "features"
    column = "entropy"
    sign = -1
    largest = 1.0


@dataclass(frozen=True)
class Margin(ScoredPolicy):
    """Exits when the largest probability exceeds the second by at least the threshold."""

    threshold: float = 0.8
    observation = "features"
    column = "margin"
    largest = 1.0


@dataclass(frozen=True)
class Gap(ScoredPolicy):
    """Exits when the largest logit exceeds the second by at least the threshold (top-k cut-off, Wu et al. 2023).

    Logits are running means, so the gap keeps its scale over time (arXiv 2301.09522 thresholds it at every t).
    """

    threshold: float = 2.0
    observation = "rich"
    column = "gap"
    largest = 40.0


@dataclass(frozen=True)
class SummedConfidence(ScoredPolicy):
    """Exits when the largest probability of the logits *summed* over time is at least the threshold (SEENN's code).

    Its temperature falls as 1/t, so that thresholds are comparable with published ones, and not with those of
    `Confidence`. (That code exits strictly above its threshold; for converted networks it divides the sum by 8.)
    """

    threshold: float = 0.9
    observation = "rich"
    column = "summed_confidence"
    largest = 1.0


@dataclass(frozen=True)
class Patience(ScoredPolicy):
    """Exits when the prediction has been the same for so many timesteps in a row (Zhou et al., NeurIPS 2020).

    Its scores are whole numbers: a target between them needs `calibrate(…, randomise=True)`.
    """

    threshold: float = 2
    observation = "features"

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: 1 at a first step."""
        return np.ones(len(observation))

    def score_step(
        self, observation: np.ndarray, state: np.ndarray | None = None, episode_start: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`[B]` for how many timesteps the prediction has been the same; the state is the same array."""
        agrees = observation[:, COLUMNS["agreement"]] > 0
        before = np.zeros(len(observation)) if state is None else state
        if episode_start is not None:
            agrees = agrees & ~np.asarray(episode_start, bool)
        streak = np.where(agrees, before + 1, 1.0)
        return streak, streak


@dataclass(frozen=True)
class Oracle:
    """Exits at the first correct timestep, and at 1 where none is correct: a bound in hindsight."""

    decides: ClassVar[str] = "end"

    @check_kinds
    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` in 1…T."""
        return np.where(traces.correct.any(1), traces.first_correct, 1)
