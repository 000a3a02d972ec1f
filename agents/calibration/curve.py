"""What a policy does at every level that it could have, exactly and at once.

With m_t the largest score up to timestep t, a row goes on past t as long as m_t < level. Raising the level
past the sorted m's therefore moves one row on by one timestep at a time, and accuracy and mean timesteps at
all N·(T - 1) levels are cumulative sums.

Letters: N rows, T timesteps, M levels.
"""

from dataclasses import dataclass

import numpy as np

from agents.calibration.costs import measured_costs
from agents.rules.score import ScoredPolicy
from backbones.argument_checks import check_kinds
from seenn_env import Traces


@dataclass(frozen=True)
class Curve:
    """Accuracy over mean timesteps; entries ascend in level and in time."""

    levels: np.ndarray
    """`[M]` a policy at this level …"""
    mean_timesteps: np.ndarray
    """`[M]` … spends this …"""
    accuracy: np.ndarray
    """`[M]` … and is right this often (a fraction)."""
    mean_cost: np.ndarray
    """`[M]` … at this mean cost; timesteps, unless another cost was given."""

    @check_kinds
    def nearest(self, target_timesteps: float) -> int:
        """The entry whose mean timesteps are nearest to the target."""
        return int(np.abs(self.mean_timesteps - target_timesteps).argmin())


def level_curve(scores: np.ndarray, correct: np.ndarray, costs: np.ndarray | None = None) -> Curve:
    """The curve of scores `[N, T-1]` on rows that are right or not, `[N, T]` bool, and cost `[N, T]` (or timesteps)."""
    N = len(correct)
    highest = np.maximum.accumulate(scores, axis=1).reshape(-1)
    order = np.argsort(highest, kind="stable")
    ranked = highest[order]
    gains = np.diff(correct.astype(np.int64), axis=1).reshape(-1)[order]
    right = np.concatenate([[correct[:, 0].sum()], correct[:, 0].sum() + np.cumsum(gains)])
    # Entry k: the k lowest are below the level. Only where the next is higher can a level do that.
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]]) if len(ranked) else np.array([True])
    passed = np.flatnonzero(possible)
    above = np.concatenate([ranked, [np.inf]])[passed]
    below = np.concatenate([[-np.inf], ranked])[passed]
    levels = above.copy()
    inner = slice(1, -1)
    levels[inner] = (above[inner] + below[inner]) / 2
    levels = np.where(levels > below, levels, above)
    timesteps = 1 + passed / N
    spent = timesteps
    if costs is not None:
        rises = np.diff(costs, axis=1).reshape(-1)[order]
        spent = (costs[:, 0].sum() + np.concatenate([[0.0], np.cumsum(rises)]))[passed] / N
    return Curve(levels, timesteps, right[passed] / N, spent)


@check_kinds
def exit_curve(policy: ScoredPolicy, traces: Traces, costs: np.ndarray | None = None) -> Curve:
    """The curve of a policy on traces, whose exits cost `[N, T]` (or timesteps)."""
    charged = None if costs is None else measured_costs(costs, traces)
    return level_curve(policy.trace_scores(traces), traces.correct, charged)


def exits_at(scores: np.ndarray, level: float) -> np.ndarray:
    """`[N]` exit timesteps of scores `[N, T-1]` at a level."""
    leaves = np.concatenate([scores >= level, np.ones((len(scores), 1), bool)], axis=1)
    exits: np.ndarray = leaves.argmax(1) + 1
    return exits
