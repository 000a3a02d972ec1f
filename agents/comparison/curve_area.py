"""Endpoints over a range of targets: the area between two policies' curves, with its interval and a verdict.

    clusters = Clusters(traces.sample)
    curve = matched_curve({1.2: learned, 1.5: learned}, traces, clusters)
    endpoint = curve.over(matched_curve({1.2: rule12, 1.5: rule15}, traces, clusters))
    endpoint.verdict(margin=0.002)

Letters: N rows, R resamples, S policy seeds, G targets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.comparison.bootstrap import Clusters, DifferenceInterval
from agents.comparison.matched_accuracy import matched_accuracy
from agents.comparison.multiple_comparisons import max_t
from agents.rules.score import ScoredPolicy
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.one_line import one_line
from seenn_env import Traces


@dataclass(frozen=True)
class Endpoint:
    """The mean difference in accuracy over a range of mean timesteps, and at each target."""

    area: DifferenceInterval
    """Area between the curves over the range, divided by its width: a fraction."""
    targets: tuple[float, ...]
    """G mean timesteps, the policy's own cost included."""
    differences: tuple[DifferenceInterval, ...]
    """G differences at the targets."""
    draws: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False, compare=False)
    """`[R, G]` the differences in every resample."""

    __repr__ = one_line

    def verdict(self, margin: float = 0.002) -> str:
        """The verdict by the interval of the area, with a margin of non-inferiority.

        Above 0: "superior"; below 0: "inferior"; above -margin: "non-inferior"; else "not shown".
        """
        if self.area.low > 0:
            return "superior"
        if self.area.high < 0:
            return "inferior"
        return "non-inferior" if self.area.low > -margin else "not shown"

    def adjusted(self) -> np.ndarray:
        """`[G]` p-values of the differences, adjusted for all G of them (see `max_t`)."""
        return max_t(np.array([difference.estimate for difference in self.differences]), self.draws)

    def area_draws(self) -> np.ndarray:
        """`[R]` the area in every resample."""
        return _area(np.array(self.targets), self.draws)


@dataclass(frozen=True, eq=False)
class MatchedCurve:
    """Accuracy of a policy (the mean of its seeds) at exactly each target's mean timesteps."""

    targets: tuple[float, ...]
    """G mean timesteps, the policy's own cost included."""
    estimate: np.ndarray
    """`[G]`."""
    draws: np.ndarray
    """`[R, G]` in every resample."""

    __repr__ = one_line

    def over(self, rival: "MatchedCurve") -> Endpoint:
        """This curve minus a rival's, of the same resamples, at the targets of this one; an `InputError` where the
        rival lacks a target, or there are fewer than two.
        """
        if len(self.targets) < 2 or not set(self.targets) <= set(rival.targets):
            raise InputError(
                f"Expected the same two or more targets twice, got {list(self.targets)} and {list(rival.targets)}."
            )
        places = [rival.targets.index(target) for target in self.targets]
        targets, estimate = np.array(self.targets), self.estimate - rival.estimate[places]
        draws = self.draws - rival.draws[:, places]
        area = DifferenceInterval.of(_area(targets, estimate), _area(targets, draws))
        differences = tuple(DifferenceInterval.of(estimate[g], draws[:, g]) for g in range(len(targets)))
        return Endpoint(area, self.targets, differences, draws)


@check_kinds
def matched_curve(
    policies: Mapping[float, ScoredPolicy | Sequence[ScoredPolicy]],
    traces: Traces,
    clusters: Clusters,
    *,
    charge: float = 0.0,
    scores: Callable[[ScoredPolicy, Traces], np.ndarray] = lambda policy, traces: policy.trace_scores(traces),
) -> MatchedCurve:
    """The accuracies of a policy at its targets; a policy shared by several targets is computed once.

    Levels are set in every resample, between two of them by randomisation: two such curves compare the order in which
    policies let rows exit, not their calibration.

    Args:
        policies: target to policy, or to one per seed (resampled with the samples).
        traces: the rows.
        clusters: of those rows.
        charge: timesteps that the policy's own computation costs, subtracted from its targets.
        scores: computes `[N, T-1]` scores of a policy on traces (for a cache across calls).

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
        places: dict[int, list[int]] = {}
        for g, group in enumerate(groups):
            places.setdefault(id(group[seed]), []).append(g)
        for same in places.values():
            estimate[seed, same], draws[seed][:, same] = matched_accuracy(
                scores(groups[same[0]][seed], traces), traces.correct, targets[same] - charge, clusters
            )
    seeds = clusters.rng.integers(S, size=(draws.shape[1], S))
    resampled = draws[seeds, np.arange(len(seeds))[:, None]].mean(1)
    return MatchedCurve(tuple(targets.tolist()), estimate.mean(0), resampled)


def _area(targets: np.ndarray, values: np.ndarray) -> Any:
    """The mean of values `[…, G]` over the range of the targets."""
    return np.trapezoid(values, targets, axis=-1) / (targets[-1] - targets[0])
