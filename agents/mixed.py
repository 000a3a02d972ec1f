"""A policy between two of its levels, by chance: it spends any mean, where scores are equal for many rows too."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.policy import ScoredPolicy, own_generator, scores_of, step_scores
from backbones import InputError
from backbones.kinds import Natural, check_fields, check_kinds
from seenn_env import Traces, decides
from seenn_env.observations import AnyObservation


@dataclass(frozen=True)
class Mixed:
    """In each episode, decides at the policy's own level or, with a probability, at another.

    Args:
        policy: at the level of the rest of the episodes.
        other: the other level.
        share: the probability of the other level.
        seed: of the draws.
    """

    policy: ScoredPolicy
    other: float
    share: float
    seed: Natural = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.share <= 1:
            raise InputError(f"Expected a share in [0, 1], got {self.share}.")

    @property
    def observation(self) -> AnyObservation:
        """See `ScoredPolicy.observation`."""
        return self.policy.observation

    @property
    def decides(self) -> str:
        """See `seenn_env.decides`: as the policy."""
        return decides(self.policy)

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`: that of the greater share."""
        return self.other if self.share > 0.5 else self.policy.level

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the policy, where it has any."""
        found: dict[str, Any] = getattr(self.policy, "settings", {})
        return found

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        return self.policy.score(observation)

    def score_step(
        self, observation: np.ndarray, state: Any, episode_start: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`."""
        return step_scores(self.policy, observation, state, episode_start)

    def trace_scores(self, traces: Traces) -> np.ndarray:
        """See `ScoredPolicy`."""
        return scores_of(self.policy, traces)

    @check_kinds
    def at_level(self, level: float) -> "Mixed":
        """At one level, without chance."""
        return replace(self, policy=self.policy.at_level(level), share=0.0)

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`; the state holds each row's draw, so that a run from the start is the same again."""
        B = len(observation)
        inner, draws, rng = (None, np.empty(B), None) if state is None else state
        starts = np.ones(B, bool) if state is None else episode_start
        if starts is not None and np.any(starts):
            rng = own_generator(rng, self.seed)
            draws = np.where(starts, _even(B, rng), draws)
        if self.decides == "start":
            one, other = (each.predict(observation)[0] for each in (self.policy, self.policy.at_level(self.other)))  # type: ignore[attr-defined]
            return np.where(draws < self.share, other, one), (inner, draws, rng)
        scores, inner = step_scores(self.policy, observation, inner, starts)
        levels = np.where(draws < self.share, self.other, self.policy.level)
        return (scores >= levels).astype(np.int64), (inner, draws, rng)

    @check_kinds
    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` of a policy that decides at the start."""
        one, other = (each.exit_timesteps(traces) for each in (self.policy, self.policy.at_level(self.other)))  # type: ignore[attr-defined]
        draws = _even(len(traces), np.random.default_rng(self.seed))
        return np.where(draws < self.share, other, one)


def _even(count: int, rng: np.random.Generator) -> np.ndarray:
    """`[count]` each uniform on 0…1, together spread evenly."""
    return (rng.permutation(count) + rng.random(count)) / count
