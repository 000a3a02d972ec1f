"""Accuracy at equal mean timesteps: the level of a policy is set anew in every resample.

A ladder of levels spans the mean timesteps of all resamples; between two of its levels, randomisation makes accuracy
linear in mean timesteps.

Letters: N rows, C clusters (samples), R resamples, S policy seeds, G targets, L levels of a ladder.
"""

from collections.abc import Sequence

import numpy as np

from agents.calibration.curve import level_curve
from agents.comparison.bootstrap import Clusters, Interval
from agents.rules.score import ScoredPolicy
from seenn_env import Evaluation, Traces

_WIDE, _NARROW = 257, 129
"""Levels of a ladder for several targets, and for one, with a narrow neighbourhood."""


def matched_accuracy(
    scores: np.ndarray, correct: np.ndarray, targets: np.ndarray, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy where the mean timesteps are exactly those of the targets.

    Args:
        scores: `[N, T-1]`.
        correct: `[N, T]`.
        targets: `[G]` mean timesteps.
        clusters: of the rows.

    Returns:
        estimate: `[G]` on the rows themselves.
        draws: `[R, G]` in every resample.
    """
    reach = 8 * np.sqrt(correct.shape[1] * (targets.max() - 0.9) / clusters.count) + 0.05
    count = _NARROW if len(targets) == 1 else _WIDE
    time, hits = _ladder_sums(scores, correct, targets.min() - reach, targets.max() + reach, count, clusters)
    exact = time[:, -1].max() * len(clusters.rows) < 2**24  # no resample's sum is larger
    both = np.concatenate([time, hits], axis=1)

    def at_targets(weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
        total = (weights @ clusters.rows.astype(weights.dtype))[:, None].astype(np.float64)
        times, accuracies = np.split((weights @ sums.astype(weights.dtype)).astype(np.float64) / total, 2, axis=1)
        return np.stack([np.interp(targets, *pair) for pair in zip(times, accuracies, strict=True)])

    weights = clusters.single_weights if exact else clusters.weights
    return at_targets(np.ones((1, clusters.count)), both)[0], at_targets(weights, both)


def paired_difference(
    evaluations: Sequence[Evaluation], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> Interval:
    """`paired_draws` as an interval."""
    return Interval.of(*paired_draws(evaluations, rival, traces, clusters))


def paired_draws(
    evaluations: Sequence[Evaluation], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> tuple[float, np.ndarray]:
    """Accuracy of a policy minus that of a rival with the same mean timesteps in every resample.

    With several policy seeds, seeds are resampled too.

    Args:
        evaluations: the policy's, one per seed, on `traces`.
        rival: its level is set in every resample.
        traces: the rows.
        clusters: of those rows.

    Returns:
        estimate: on the rows themselves.
        draws: `[R]` in every resample.
    """
    means = np.array([each.mean_timesteps for each in evaluations])
    reach = 8 * max(float(np.std(each.exit_timesteps)) for each in evaluations) / np.sqrt(clusters.count) + 0.02
    time, hits = _ladder_sums(
        rival.trace_scores(traces), traces.correct, means.min() - reach, means.max() + reach, _NARROW, clusters
    )
    own_time = np.stack([clusters.sums(each.exit_timesteps) for each in evaluations], 1)
    own_hits = np.stack([clusters.sums(each.correct) for each in evaluations], 1)

    def differences(weights: np.ndarray) -> np.ndarray:
        total = (weights @ clusters.rows)[:, None]
        times, accuracies = weights @ time / total, weights @ hits / total
        targets, own_accuracy = weights @ own_time / total, weights @ own_hits / total
        matched = [np.interp(*resample) for resample in zip(targets, times, accuracies, strict=True)]
        return own_accuracy - np.array(matched)

    estimate = differences(np.ones((1, clusters.count))).mean()
    return float(estimate), clusters.resample_seeds(differences(clusters.weights))


def _ladder_sums(
    scores: np.ndarray, correct: np.ndarray, low: float, high: float, count: int, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """`[C, L]` timesteps of each sample's rows, and their correct answers, at `count` levels or fewer.

    Mean timesteps at the levels span `low` to `high`.
    """
    curve = level_curve(scores, correct)
    first, last = np.searchsorted(curve.mean_timesteps, [low, high])
    ends = max(first - 1, 0), min(last, len(curve.levels) - 1)
    return _sums_at(scores, correct, curve.levels[np.unique(np.linspace(*ends, count).astype(int))], clusters)


def _sums_at(
    scores: np.ndarray, correct: np.ndarray, levels: np.ndarray, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """`[C, L]` timesteps of each sample's rows, and their correct answers, at ascending levels `[L]`."""
    L = len(levels)
    highest = np.maximum.accumulate(scores, axis=1)
    # A row continues past t at every level above its highest score so far: from this one on.
    first = np.searchsorted(levels, highest, side="right")
    places = (clusters.of_row[:, None] * (L + 1) + first).reshape(-1)
    shape = clusters.count, L + 1
    steps = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)[:, :L]
    gains = np.diff(correct.astype(np.float64), axis=1).reshape(-1)
    hits = np.bincount(places, gains, shape[0] * shape[1]).reshape(shape)[:, :L]
    time = clusters.rows[:, None] + np.cumsum(steps, axis=1)
    return time, clusters.sums(correct[:, 0])[:, None] + np.cumsum(hits, axis=1)
