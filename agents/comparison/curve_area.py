"""Endpoints over a range of targets: the area between two policies' curves, with its interval and a verdict.

    endpoint = area_between({1.2: learned, 1.5: learned}, {1.2: rule12, 1.5: rule15}, traces, Clusters(traces.sample))
    endpoint.verdict(margin=0.002)

Letters: N rows, C clusters (samples), R resamples, S policy seeds, G targets, L levels of a ladder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.calibration.curve import level_curve
from agents.comparison.bootstrap import Clusters, Interval, max_t
from agents.rules.score import ScoredPolicy
from backbones import InputError
from seenn_env import Traces

_LADDER = 257
_RUNGS = 129
"""Levels of the ladder for a single target, whose neighbourhood is narrow."""


@dataclass(frozen=True)
class Endpoint:
    """The mean difference in accuracy over a range of mean timesteps, and at each target."""

    area: Interval
    """Area between the curves over the range, divided by its width: a fraction."""
    targets: tuple[float, ...]
    """G mean timesteps, the policy's own cost included."""
    differences: tuple[Interval, ...]
    """G differences at the targets."""
    draws: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False, compare=False)
    """`[R, G]` the differences in every resample."""

    def verdict(self, margin: float = 0.002) -> str:
        """What the area's interval says, with a margin of non-inferiority.

        Above 0: "superior"; below 0: "inferior"; above -margin: "non-inferior"; else "not shown".
        """
        if self.area.low > 0:
            return "superior"
        if self.area.high < 0:
            return "inferior"
        return "non-inferior" if self.area.low > -margin else "not shown"

    def adjusted(self) -> np.ndarray:
        """`[G]` p-values of the differences, corrected for there being G of them (see `max_t`)."""
        return max_t(np.array([difference.estimate for difference in self.differences]), self.draws)

    def area_draws(self) -> np.ndarray:
        """`[R]` the area in every resample."""
        area: np.ndarray = _area(np.array(self.targets), self.draws)
        return area


@dataclass(frozen=True, eq=False)
class MatchedCurve:
    """Accuracy of a policy (the mean of its seeds) at exactly each target's mean timesteps."""

    targets: tuple[float, ...]
    """G mean timesteps, the policy's own cost included."""
    estimate: np.ndarray
    """`[G]`."""
    draws: np.ndarray
    """`[R, G]` in every resample."""

    def over(self, rival: "MatchedCurve") -> Endpoint:
        """This curve less a rival's, of the same resamples; targets of the rival's alone do not count.

        Raises:
            InputError: where the rival lacks a target, or there are fewer than two.
        """
        if len(self.targets) < 2 or not set(self.targets) <= set(rival.targets):
            raise InputError(
                f"Expected the same two or more targets twice, got {list(self.targets)} and {list(rival.targets)}."
            )
        there = [rival.targets.index(target) for target in self.targets]
        targets, estimate = np.array(self.targets), self.estimate - rival.estimate[there]
        drawn = self.draws - rival.draws[:, there]
        area = Interval.of(_area(targets, estimate), _area(targets, drawn))
        differences = tuple(Interval.of(estimate[g], drawn[:, g]) for g in range(len(targets)))
        return Endpoint(area, self.targets, differences, drawn)


def area_between(
    policies: Mapping[float, ScoredPolicy | Sequence[ScoredPolicy]],
    rivals: Mapping[float, ScoredPolicy],
    traces: Traces,
    clusters: Clusters,
    *,
    charge: float = 0.0,
) -> Endpoint:
    """A policy's curve less a rival's, both at exactly each target's mean timesteps in every resample.

    Levels are set anew in every resample, between two of them by randomising, for both alike: what is
    compared is the order in which they let rows go, not how well they were calibrated.

    Args:
        policies: target to policy, or to one a seed (resampled with the samples).
        rivals: the same targets to the rival.
        traces: the rows.
        clusters: of those rows.
        charge: timesteps that the policy's own work costs; they are taken off its targets.

    Raises:
        InputError: for different targets, fewer than two, or a target out of range.
    """
    if len(policies) < 2 or sorted(rivals) != sorted(policies):
        raise InputError(f"Expected the same two or more targets twice, got {sorted(policies)} and {sorted(rivals)}.")
    own = matched_curve(policies, traces, clusters, charge=charge)
    return own.over(matched_curve(rivals, traces, clusters))


def matched_curve(
    policies: Mapping[float, ScoredPolicy | Sequence[ScoredPolicy]],
    traces: Traces,
    clusters: Clusters,
    *,
    charge: float = 0.0,
    scores: Callable[[ScoredPolicy, Traces], np.ndarray] = lambda policy, traces: policy.trace_scores(traces),
) -> MatchedCurve:
    """What `area_between` compares; policies that stand at several targets are computed once.

    Args:
        policies: target to policy, or to one a seed (resampled with the samples).
        traces: the rows.
        clusters: of those rows.
        charge: timesteps that the policy's own work costs; they are taken off its targets.
        scores: `[N, T-1]` of a policy on traces (to keep them from one call to the next).

    Raises:
        InputError: for a target out of range.
    """
    targets = np.array(sorted(policies))
    if targets[0] - charge < 1 or targets[-1] > traces.timesteps:
        raise InputError(
            f"Expected targets from {1 + charge:g} to T = {traces.timesteps}, got {targets[0]:g}…{targets[-1]:g}."
        )
    groups = [list(p) if isinstance(p, Sequence) else [p] for _, p in sorted(policies.items())]
    S = len(groups[0])
    estimate, draws = np.empty((S, len(targets))), np.empty((S, len(clusters.weights), len(targets)))
    for seed in range(S):
        members = [group[seed] for group in groups]
        left = list(range(len(members)))
        while left:
            same = [g for g in left if members[g] is members[left[0]]]
            wanted = targets[same] - charge
            found = matched_accuracy(scores(members[same[0]], traces), traces.correct, wanted, clusters)
            estimate[seed, same], draws[seed][:, same] = found
            left = [g for g in left if g not in same]
    seeds = clusters.rng.integers(S, size=(draws.shape[1], S))
    drawn = draws[seeds, np.arange(len(seeds))[:, None]].mean(1)
    return MatchedCurve(tuple(targets.tolist()), estimate.mean(0), drawn)


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
        estimate: `[G]` on the rows as they are.
        draws: `[R, G]` in every resample.
    """
    curve = level_curve(scores, correct)
    # Any resample's curve passes the targets between these two entries.
    reach = 8 * np.sqrt(correct.shape[1] * (targets.max() - 0.9) / clusters.count) + 0.05
    low, high = np.searchsorted(curve.mean_timesteps, [targets.min() - reach, targets.max() + reach])
    ends = max(low - 1, 0), min(high, len(curve.levels) - 1)
    entries = np.unique(np.linspace(*ends, _RUNGS if len(targets) == 1 else _LADDER).astype(int))
    time, hits = _ladder_sums(scores, correct, curve.levels[entries], clusters)
    exact = time[:, -1].max() * len(clusters.rows) < 2**24  # no resample's sum is larger
    both = np.concatenate([time, hits], axis=1)

    def at_targets(weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
        total = (weights @ clusters.rows.astype(weights.dtype))[:, None].astype(np.float64)
        times, rights = np.split((weights @ sums.astype(weights.dtype)).astype(np.float64) / total, 2, axis=1)
        return np.stack([np.interp(targets, *pair) for pair in zip(times, rights, strict=True)])

    weights = clusters.single_weights if exact else clusters.weights
    return at_targets(np.ones((1, clusters.count)), both)[0], at_targets(weights, both)


def _ladder_sums(
    scores: np.ndarray, correct: np.ndarray, levels: np.ndarray, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """`[C, L]` timesteps that each sample's rows spend at ascending levels `[L]`, and how many are right."""
    L = len(levels)
    highest = np.maximum.accumulate(scores, axis=1)
    # A row goes on past t at every level above its highest score so far: from this one on.
    first = np.searchsorted(levels, highest, side="right")
    places = (clusters.of_row[:, None] * (L + 1) + first).reshape(-1)
    shape = clusters.count, L + 1
    steps = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)[:, :L]
    gains = np.diff(correct.astype(np.float64), axis=1).reshape(-1)
    rights = np.bincount(places, gains, shape[0] * shape[1]).reshape(shape)[:, :L]
    time = clusters.rows[:, None] + np.cumsum(steps, axis=1)
    return time, clusters.sums(correct[:, 0])[:, None] + np.cumsum(rights, axis=1)


def _area(targets: np.ndarray, values: np.ndarray) -> Any:
    """The mean of values `[…, G]` over the range of the targets."""
    return np.trapezoid(values, targets, axis=-1) / (targets[-1] - targets[0])


Matched = tuple[np.ndarray, np.ndarray]
"""What `matched_accuracy` gives."""


def difference_at(mine: Matched, at: int, other: Matched, there: int) -> Interval:
    """The difference of two matched accuracies, each at one of its targets, in the same resamples."""
    return Interval.of(float(mine[0][at] - other[0][there]), mine[1][:, at] - other[1][:, there])
