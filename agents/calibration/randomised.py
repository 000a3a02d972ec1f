"""Randomisation between two levels, so that the mean exit timestep meets a target despite equal scores."""

from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from agents.rules.draws import name_episodes, next_draws, uniform
from agents.rules.predicting import checks_arguments
from agents.rules.score import ScoredPolicy, checked_scores, delegated
from backbones.argument_checks import Fraction, Natural, check_fields, check_kinds


@dataclass(frozen=True)
class Mixed(ScoredPolicy):
    """Exits at one of two levels, drawn in each episode: any mean exit timestep can be met.

    Args:
        policy: at the first level.
        other: the other level.
        share: the probability of the other level.
        seed: of the draws.
    """

    policy: ScoredPolicy
    other: float
    share: Fraction
    seed: Natural = 0
    observation = delegated("policy", "observation")
    decides = delegated("policy", "decides")
    settings = delegated("policy", "settings")
    made_for = delegated("policy", "made_for")
    macs = delegated("policy", "macs")
    score = delegated("policy", "score")
    score_step = delegated("policy", "score_step")
    trace_scores = delegated("policy", "trace_scores")

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`: the likelier one."""
        return self.other if self.share > 0.5 else self.policy.level

    @check_kinds
    def at_level(self, level: float) -> "Mixed":
        """The policy at one level, without draws."""
        return replace(self, policy=self.policy.at_level(level), share=0.0)

    def name_episodes(self, state: Any, starts: np.ndarray, names: np.ndarray, deterministic: bool) -> Any:
        """See `seenn_env.Policy`."""
        return name_episodes(state, starts, names)

    @checks_arguments
    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`, by one draw in each episode: of its name, or of the image of a policy that reads images."""
        if self.decides == "start":
            scale = 1 if observation.dtype == np.uint8 else 255
            names = np.array([crc32(image.tobytes()) for image in np.rint(observation * scale).astype(np.uint8)])
            one, other = (each.predict(observation)[0] for each in (self.policy, self.policy.at_level(self.other)))
            return np.where(uniform(self.seed, names) < self.share, other, one), None
        draws = next_draws(state, episode_start, len(observation))
        scores, inner = checked_scores(self.policy, observation, draws.inner, episode_start)
        levels = np.where(uniform(self.seed, draws.episode) < self.share, self.other, self.policy.level)
        return (scores >= levels).astype(np.int64), draws._replace(inner=inner)
