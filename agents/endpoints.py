"""Endpoints over a range of targets: the area between two policies' curves, with its interval and a verdict.

    endpoint = area_between({1.2: learned, 1.5: learned}, {1.2: rule12, 1.5: rule15}, traces, Clusters(traces.sample))
    endpoint.verdict(margin=0.002)

Letters: N rows, C clusters (samples), R resamples, S policy seeds, G targets, L levels of a ladder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.curves import exits_at, level_curve
from agents.policy import ScoredPolicy, scores_of
from agents.statistics import Clusters, Interval
from backbones import InputError
from seenn_env import Traces

_LADDER = 257


@dataclass(frozen=True)
class Endpoint:
    """The mean difference in accuracy over a range of mean timesteps, and at each target."""

    area: Interval
    """Area between the curves over the range, divided by its width: a fraction."""
    targets: tuple[float, ...]
    """G mean timesteps, the policy's own cost included."""
    differences: tuple[Interval, ...]
    """G differences at the targets."""

    def verdict(self, margin: float = 0.002) -> str:
        """What the area's interval says, with a margin of non-inferiority.

        Above 0: "superior"; below 0: "inferior"; above -margin: "non-inferior"; else "not shown".
        """
        if self.area.low > 0:
            return "superior"
        if self.area.high < 0:
            return "inferior"
        return "non-inferior" if self.area.low > -margin else "not shown"


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
    targets = np.array(sorted(policies))
    if len(targets) < 2 or sorted(rivals) != targets.tolist():
        raise InputError(f"Expected the same two or more targets twice, got {sorted(policies)} and {sorted(rivals)}.")
    if targets[0] - charge < 1 or targets[-1] > traces.timesteps:
        raise InputError(
            f"Expected targets from {1 + charge:g} to T = {traces.timesteps}, got {targets[0]:g}…{targets[-1]:g}."
        )
    groups = {t: list(p) if isinstance(p, Sequence) else [p] for t, p in policies.items()}
    S = len(groups[float(targets[0])])
    own = [
        _on_targets({t: group[seed] for t, group in groups.items()}, targets - charge, traces, clusters)
        for seed in range(S)
    ]
    other = _on_targets(dict(rivals), targets, traces, clusters)
    estimate = np.mean([found for found, _ in own], axis=0) - other[0]
    seeds = clusters.rng.integers(S, size=(len(clusters.weights), S))
    stacked = np.stack([draws for _, draws in own])
    drawn = stacked[seeds, np.arange(len(seeds))[:, None]].mean(1) - other[1]
    width = targets[-1] - targets[0]
    area = Interval.of(np.trapezoid(estimate, targets) / width, np.trapezoid(drawn, targets, axis=1) / width)
    differences = tuple(Interval.of(estimate[g], drawn[:, g]) for g in range(len(targets)))
    return Endpoint(area, tuple(targets.tolist()), differences)


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
    entries = np.unique(np.linspace(*ends, _LADDER).astype(int))
    exits = np.stack([exits_at(scores, curve.levels[i]) for i in entries], 1)
    right = correct[np.arange(len(exits))[:, None], exits - 1]
    time = np.stack([clusters.sums(exits[:, i]) for i in range(len(entries))], 1)
    hits = np.stack([clusters.sums(right[:, i]) for i in range(len(entries))], 1)

    def at_targets(weights: np.ndarray) -> np.ndarray:
        total = (weights @ clusters.rows)[:, None]
        times, rights = weights @ time / total, weights @ hits / total
        return np.stack([np.interp(targets, *pair) for pair in zip(times, rights, strict=True)])

    return at_targets(np.ones((1, clusters.count)))[0], at_targets(clusters.weights)


def _on_targets(
    policies: Mapping[float, ScoredPolicy], targets: np.ndarray, traces: Traces, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """`matched_accuracy` of policies that may differ from target to target; equal ones are computed once."""
    estimate = np.empty(len(targets))
    draws = np.empty((len(clusters.weights), len(targets)))
    members = [policies[t] for t in sorted(policies)]
    left = list(range(len(members)))
    while left:
        same = [g for g in left if members[g] is members[left[0]]]
        found = matched_accuracy(scores_of(members[same[0]], traces), traces.correct, targets[same], clusters)
        estimate[same], draws[:, same] = found
        left = [g for g in left if g not in same]
    return estimate, draws
