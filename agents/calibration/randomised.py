"""Randomisation between two levels, so that the mean exit timestep meets a target despite equal scores."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.calibration.curve import exits_at
from agents.rules.score import ScoredPolicy, copied_generator, delegated
from backbones import InputError
from backbones.argument_checks import Natural, check_fields, check_kinds
from seenn_env import Traces


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
    share: float
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
        if not 0 <= self.share <= 1:
            raise InputError(f"Expected a share in [0, 1], got {self.share}.")

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`: the likelier one."""
        return self.other if self.share > 0.5 else self.policy.level

    @check_kinds
    def at_level(self, level: float) -> "Mixed":
        """The policy at one level, without draws."""
        return replace(self, policy=self.policy.at_level(level), share=0.0)

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`; the state holds each row's draw, so that a run from the start is reproducible."""
        B = len(observation)
        inner, draws, rng = (None, np.empty(B), None) if state is None else state
        starts = np.ones(B, bool) if state is None else episode_start
        if starts is not None and np.any(starts):
            rng = copied_generator(rng, self.seed)
            draws = np.where(starts, _stratified(B, rng), draws)
        if self.decides == "start":
            one, other = (each.predict(observation)[0] for each in (self.policy, self.policy.at_level(self.other)))
            return np.where(draws < self.share, other, one), (inner, draws, rng)
        scores, inner = self.policy.score_step(observation, inner, starts)
        levels = np.where(draws < self.share, self.other, self.policy.level)
        return (scores >= levels).astype(np.int64), (inner, draws, rng)

    @check_kinds
    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` of a policy that decides at the start."""
        draws = _stratified(len(traces), np.random.default_rng(self.seed))
        one, other = (exits_at(self.trace_scores(traces), level) for level in (self.policy.level, self.other))
        return np.where(draws < self.share, other, one)


def _stratified(count: int, rng: np.random.Generator) -> np.ndarray:
    """`[count]` a stratified sample of the uniform distribution on 0…1, in random order."""
    return (rng.permutation(count) + rng.random(count)) / count
