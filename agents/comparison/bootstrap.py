"""Paired differences with intervals: samples are clusters, the rival spends the same in every resample.

Letters: C clusters (samples), R resamples, S policy seeds, G levels of the rival.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agents.calibration.curve import exits_at, level_curve
from agents.rules.score import ScoredPolicy
from seenn_env import Evaluation, Traces

RESAMPLES = 2000
_LADDER = 129


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % percentile bootstrap interval."""

    estimate: float
    low: float
    high: float
    p_value: float = 1.0
    """Two-sided, of "it is 0": twice the smaller share of draws on one side of 0, of R + 1 draws."""

    @classmethod
    def of(cls, estimate: float, draws: np.ndarray) -> "Interval":
        """From bootstrap draws `[R]`."""
        low, high = np.quantile(draws, [0.025, 0.975])
        beyond = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0)) + 1
        return cls(float(estimate), float(low), float(high), min(1.0, 2 * beyond / (len(draws) + 1)))


class Clusters:
    """Resampling of whole samples, all rows (repeats) of a sample together.

    Args:
        sample: `[N]` each row's sample.
        resamples: R.
        seed: of the resampling.
    """

    def __init__(self, sample: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        names, self.of_row = np.unique(sample, return_inverse=True)
        self.count = len(names)
        self.rng = np.random.default_rng(seed)
        share = np.full(self.count, 1 / self.count)
        self.weights = self.rng.multinomial(self.count, share, resamples).astype(np.float64)
        """`[R, C]` how often a resample holds each sample."""
        self.rows = np.bincount(self.of_row).astype(np.float64)
        self._seeds: dict[int, np.ndarray] = {}

    def seeds(self, count: int) -> np.ndarray:
        """`[R, S]` which of `count` policy seeds a resample holds; the same for all who ask for as many."""
        if count not in self._seeds:
            self._seeds[count] = self.rng.integers(count, size=(len(self.weights), count))
        return self._seeds[count]

    @cached_property
    def single_weights(self) -> np.ndarray:
        """`[R, C]` the weights in float32: with them, sums of whole numbers below 2^24 are exact, in half the time."""
        return self.weights.astype(np.float32)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """`[C]` sums over the rows of each sample, of `[N]` values."""
        return np.bincount(self.of_row, values, self.count)

    def means(self, values: np.ndarray) -> np.ndarray:
        """`[R]` means over the rows of every resample."""
        means: np.ndarray = self.weights @ self.sums(values) / (self.weights @ self.rows)
        return means


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment of p-values: each may be read at the level of the whole family."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    result = np.empty_like(p)
    result[order] = adjusted
    return result


def max_t(estimates: np.ndarray, draws: np.ndarray, *, step_down: bool = True) -> np.ndarray:
    """Adjusted p-values by the bootstrap of the largest |t| (Romano and Wolf 2005): each at the level of the family.

    With t_g = |estimate_g| / se_g, se_g the deviation of the draws, and the draws about the estimate, over se_g, as
    what t would be if there were nothing: the share of R + 1 whose largest |t| is at least t_g. Comparisons that
    move together, such as neighbouring targets, are charged for less than by Holm's correction.

    Args:
        estimates: `[G]` differences.
        draws: `[R, G]` bootstrap draws of them, of the same resamples.
        step_down: the largest is taken over what is not yet decided, from the largest t down; never less powerful.

    Returns:
        `[G]` two-sided adjusted p-values.
    """
    estimates, draws = np.asarray(estimates, float), np.asarray(draws, float)
    R, G = draws.shape
    deviation = draws.std(0)
    moves = deviation > 1e-12
    scale = np.where(moves, deviation, 1.0)
    t = np.where(moves, np.abs(estimates) / scale, np.where(estimates == 0, 0.0, np.inf))
    null = np.where(moves, np.abs(draws - estimates) / scale, 0.0)
    order = np.argsort(-t, kind="stable")
    if step_down:
        largest = np.maximum.accumulate(null[:, order][:, ::-1], axis=1)[:, ::-1]
    else:
        largest = np.repeat(null.max(1, keepdims=True), G, axis=1)
    shares = (1 + (largest >= t[order]).sum(0)) / (R + 1)
    adjusted = np.empty(G)
    adjusted[order] = np.maximum.accumulate(shares)
    return adjusted


def mean_interval(values: np.ndarray, clusters: Clusters) -> Interval:
    """The mean of `[N]` values over rows."""
    return Interval.of(float(np.mean(values)), clusters.means(np.asarray(values, float)))


def paired_difference(
    evaluations: Sequence[Evaluation], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> Interval:
    """`paired_draws` as an interval."""
    return Interval.of(*paired_draws(evaluations, rival, traces, clusters))


def paired_draws(
    evaluations: Sequence[Evaluation], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> tuple[float, np.ndarray]:
    """Accuracy of a policy less that of a rival which spends the same mean timesteps on these rows.

    The rival's level is set anew in every resample, between two levels by randomising, so that it spends
    what the policy spends there. With several policy seeds, seeds are resampled too.

    Args:
        evaluations: the policy's, one a seed, on `traces`.
        rival: its level moves; everything else about it stays.
        traces: the rows.
        clusters: of those rows.

    Returns:
        estimate: on the rows as they are.
        draws: `[R]` in every resample.
    """
    scores, correct = rival.trace_scores(traces), traces.correct
    curve = level_curve(scores, correct)
    spent = np.array([e.mean_timesteps for e in evaluations])
    # The rival on a ladder of levels that surely spans what any resample spends.
    deviation = max(float(np.std(e.exit_timesteps)) for e in evaluations) / np.sqrt(clusters.count)
    reach = 8 * deviation + 0.02
    low, high = np.searchsorted(curve.mean_timesteps, [spent.min() - reach, spent.max() + reach])
    entries = np.unique(np.linspace(max(low - 1, 0), min(high, len(curve.levels) - 1), _LADDER).astype(int))
    exits = np.stack([exits_at(scores, curve.levels[i]) for i in entries], 1)
    right = correct[np.arange(len(exits))[:, None], exits - 1]
    rung_time = np.stack([clusters.sums(exits[:, g]) for g in range(len(entries))], 1)
    rung_right = np.stack([clusters.sums(right[:, g]) for g in range(len(entries))], 1)

    own_time = np.stack([clusters.sums(e.exit_timesteps) for e in evaluations], 1)
    own_right = np.stack([clusters.sums(e.correct) for e in evaluations], 1)

    def differences(weights: np.ndarray) -> np.ndarray:
        total = (weights @ clusters.rows)[:, None]
        times, rights = weights @ rung_time / total, weights @ rung_right / total
        wanted, got = weights @ own_time / total, weights @ own_right / total
        matched = [
            [np.interp(m, time, hit) for m in wants] for wants, time, hit in zip(wanted, times, rights, strict=True)
        ]
        return got - np.array(matched)

    estimate = differences(np.ones((1, clusters.count))).mean()
    return float(estimate), _seeds_resampled(differences(clusters.weights), clusters)


def across_seeds(values: Sequence[np.ndarray], clusters: Clusters) -> Interval:
    """The mean of `[N]` values over rows and policy seeds (one array each); samples and seeds are resampled."""
    drawn = np.stack([clusters.means(np.asarray(each, float)) for each in values], 1)
    return Interval.of(float(np.mean(values)), _seeds_resampled(drawn, clusters))


def _seeds_resampled(drawn: np.ndarray, clusters: Clusters) -> np.ndarray:
    """`[R]` of draws `[R, S]` over samples, one column a seed."""
    return np.take_along_axis(drawn, clusters.seeds(drawn.shape[1]), axis=1).mean(1)
