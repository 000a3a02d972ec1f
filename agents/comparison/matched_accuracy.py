"""Accuracy at equal mean timesteps: the level of a policy is set anew in every resample.

A ladder of levels spans the mean timesteps of all resamples; between two of its levels, randomisation makes accuracy
linear in mean timesteps.

Letters: N rows, C clusters (samples), R resamples, S policy seeds, G targets, L levels of a ladder.
"""

from collections.abc import Sequence

import numpy as np

from agents.calibration.curve import level_curve
from agents.comparison.bootstrap import Clusters, DifferenceInterval
from agents.rules.score import ScoredPolicy
from backbones.argument_checks import check_kinds
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
    estimate = np.interp(targets, time.sum(0) / len(correct), hits.sum(0) / len(correct))
    resampled = zip(clusters.resampled_means(time), clusters.resampled_means(hits), strict=True)
    return estimate, np.array([np.interp(targets, *pair) for pair in resampled])


@check_kinds
def paired_difference(
    evaluations: Sequence[Evaluation], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> DifferenceInterval:
    """`paired_draws` of one policy as an interval."""
    (found,) = paired_draws([evaluations], rival, traces, clusters)
    return DifferenceInterval.of(*found)


def paired_draws(
    policies: Sequence[Sequence[Evaluation]], rival: ScoredPolicy, traces: Traces, clusters: Clusters
) -> list[tuple[float, np.ndarray]]:
    """Accuracy of each policy minus that of a rival with the same mean timesteps in every resample.

    `policies` has the evaluations of each on `traces`, one per seed; seeds are resampled too. Of each it returns the
    estimate on the rows themselves, and `[R]` draws, one in every resample.
    """
    each = [evaluation for evaluations in policies for evaluation in evaluations]
    means = np.array([evaluation.mean_timesteps for evaluation in each])
    reach = 8 * max(float(np.std(evaluation.exit_timesteps)) for evaluation in each) / np.sqrt(clusters.count) + 0.02
    count = _NARROW if np.ptp(means) < reach else _WIDE
    scores = rival.trace_scores(traces)
    time, hits = _ladder_sums(scores, traces.correct, means.min() - reach, means.max() + reach, count, clusters)
    own_time = np.stack([clusters.sums(evaluation.exit_timesteps) for evaluation in each], 1)
    own_hits = np.stack([clusters.sums(evaluation.correct) for evaluation in each], 1)

    def differences(resampled: bool) -> np.ndarray:
        times, accuracies, targets, own_accuracy = (
            clusters.resampled_means(sums) if resampled else sums.sum(0, keepdims=True) / len(traces)
            for sums in (time, hits, own_time, own_hits)
        )
        matched = [np.interp(*resample) for resample in zip(targets, times, accuracies, strict=True)]
        return own_accuracy - np.array(matched)

    ends = np.cumsum([len(evaluations) for evaluations in policies])[:-1]
    estimates, draws = (np.split(differences(resampled), ends, axis=1) for resampled in (False, True))
    return [(float(one.mean()), clusters.resample_seeds(of)) for one, of in zip(estimates, draws, strict=True)]


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
