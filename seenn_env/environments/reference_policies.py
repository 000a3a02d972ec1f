"""Reference scores: exact results of simple policies on traces, to compare a learned policy with.

    scores = reference_scores(traces, make_reward("seenn"))
    scores.oracle.reward, scores.best_rule.accuracy

Letters: N rows, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backbones.argument_checks import check_kinds
from seenn_env.rewards import Reward
from seenn_env.traces.traces import Traces

RULE_COLUMNS = {"confidence": 1, "margin": 1, "entropy": -1}
"""Feature to the sign of its threshold: exits at high values (1) or at low ones (-1)."""
_CANDIDATES = 1001


@dataclass(frozen=True)
class Score:
    """Means of a policy over rows."""

    reward: float
    accuracy: float
    mean_timesteps: float


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of simple policies on the same rows."""

    random: Score
    """Uniform over the actions."""
    fixed: tuple[Score, ...]
    """`[T]` every row at the same timestep."""
    oracle: Score
    """The best timestep of each row, in hindsight: an upper bound."""
    best_rule: Score | None = None
    """The best threshold on confidence, margin or entropy, chosen on these rows; None for one-shot policies."""

    @property
    def solved(self) -> float:
        """The reward threshold: the best rule's, or the best fixed timestep's where that is higher."""
        best_fixed = max(score.reward for score in self.fixed)
        return best_fixed if self.best_rule is None else max(best_fixed, self.best_rule.reward)


@check_kinds
def reference_scores(traces: Traces, reward: Reward, *, one_shot: bool = False) -> ReferenceScores:
    """The reference scores of `EarlyExit` on all rows, or (`one_shot`) of `ChooseTimestep`."""
    N, T = traces.correct.shape
    timestep = np.broadcast_to(np.arange(1, T + 1), (N, T))
    rewards = traces.rewards(reward).astype(np.float64)
    values = (rewards, traces.correct, timestep)
    rows = np.arange(N)

    def score(exits: np.ndarray | int) -> Score:
        """Of exits `[N]`, from 0."""
        return Score(*(float(value[rows, exits].mean()) for value in values))

    chances = np.full(T, 1 / T) if one_shot else 0.5 ** np.minimum(np.arange(1, T + 1), T - 1)
    rules = () if one_shot else (score(exits) for exits in _rule_exits(traces))
    return ReferenceScores(
        random=Score(*(float(value.mean(0) @ chances) for value in values)),
        fixed=tuple(score(t) for t in range(T)),
        oracle=score(rewards.argmax(1)),
        best_rule=max(rules, key=lambda each: each.reward, default=None),
    )


def _rule_exits(traces: Traces) -> Iterator[np.ndarray]:
    """`[N]` exits, from 0, of each candidate threshold on each column."""
    columns, names = traces.columns("features"), traces.observation("features").names
    for name, sign in RULE_COLUMNS.items():
        values = sign * columns[:, :-1, names.index(name)]
        if not values.size:
            continue
        for threshold in np.unique(np.quantile(values, np.linspace(0, 1, _CANDIDATES))):
            exits = values >= threshold
            yield np.where(exits.any(1), exits.argmax(1), traces.timesteps - 1)
