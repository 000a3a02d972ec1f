"""The exact curve of accuracy over mean timesteps of a policy at all its levels.

With m_t the largest score up to timestep t, a row continues past t as long as m_t < level. Raising the level past the
sorted m's therefore moves one row by one timestep at a time, and accuracy and mean timesteps at all N·(T - 1) levels
are cumulative sums.

Letters: N rows, T timesteps, M levels.
"""

from dataclasses import dataclass

import numpy as np

from agents.calibration.costs import measured_costs
from agents.rules.score import ScoredPolicy
from backbones.argument_checks import check_kinds
from backbones.one_line import one_line
from backbones.tensors import numbers
from seenn_env import Traces


@dataclass(frozen=True)
class Curve:
    """Accuracy over mean timesteps; entries ascend in level and in time."""

    levels: np.ndarray
    """`[M]`."""
    mean_timesteps: np.ndarray
    """`[M]` of a policy at each level."""
    accuracy: np.ndarray
    """`[M]` a fraction."""
    mean_cost: np.ndarray
    """`[M]` mean timesteps, unless exits have another cost."""
    rows: int
    """N."""

    __repr__ = one_line

    @check_kinds
    def nearest(self, target_timesteps: float) -> int:
        """The entry whose mean timesteps are nearest to the target."""
        return int(np.abs(self.mean_timesteps - target_timesteps).argmin())


@check_kinds
def level_curve(scores: np.ndarray, correct: np.ndarray, costs: np.ndarray | None = None) -> Curve:
    """The curve of scores `[N, T-1]` on rows with `correct` `[N, T]` bool, and costs `[N, T]` (default: timesteps)."""
    scores = numbers(scores, "scores", "NT")
    N, T = len(scores), scores.shape[1] + 1
    correct = numbers(correct, "correct", "NT", N=N, T=T)
    if costs is not None:
        costs = numbers(costs, "costs", "NT", N=N, T=T)
    highest = np.maximum.accumulate(scores, axis=1).reshape(-1)
    order = np.argsort(highest, kind="stable")
    ranked = highest[order]
    gains = np.diff(correct.astype(np.int64), axis=1).reshape(-1)[order]
    right = np.concatenate([[correct[:, 0].sum()], correct[:, 0].sum() + np.cumsum(gains)])
    # Entry k: the k lowest are below the level, which needs the next one to be higher.
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]]) if len(ranked) else np.array([True])
    passed = np.flatnonzero(possible)
    above = np.concatenate([ranked, [np.inf]])[passed]
    below = np.concatenate([[-np.inf], ranked])[passed]
    levels = above.copy()
    inner = slice(1, -1)
    levels[inner] = (above[inner] + below[inner]) / 2
    levels = np.where(levels > below, levels, above)
    timesteps = 1 + passed / N
    mean_cost = timesteps
    if costs is not None:
        rises = np.diff(costs, axis=1).reshape(-1)[order]
        mean_cost = (costs[:, 0].sum() + np.concatenate([[0.0], np.cumsum(rises)]))[passed] / N
    return Curve(levels, timesteps, right[passed] / N, mean_cost, N)


@check_kinds
def exit_curve(policy: ScoredPolicy, traces: Traces, costs: np.ndarray | None = None) -> Curve:
    """The curve of a policy on traces, with costs of exits `[T]` or `[N, T]` (default: timesteps)."""
    costs = None if costs is None else measured_costs(costs, traces)
    return level_curve(policy.trace_scores(traces), traces.correct, costs)


@check_kinds
def exits_at(scores: np.ndarray, level: float) -> np.ndarray:
    """`[N]` exit timesteps of scores `[N, T-1]` at a level."""
    scores = numbers(scores, "scores", "NT")
    reached = np.concatenate([scores >= level, np.ones((len(scores), 1), bool)], axis=1)
    return reached.argmax(1) + 1
