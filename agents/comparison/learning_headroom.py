"""Head room of learning on traces: cross-fitted gains of stronger policies over confidence, before any training.

    print(headroom(traces).table())

Letters: N rows, T timesteps, G targets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agents.calibration.curve import exits_at
from agents.calibration.level_search import calibrate
from agents.comparison.bootstrap import Clusters, DifferenceInterval, Interval
from agents.comparison.matched_accuracy import matched_accuracy
from agents.learners.stopping.training import StoppingSettings, fit_optimal_stopping
from agents.rules.per_timestep import PerTimestep
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Confidence, Margin
from backbones import InputError
from backbones.argument_checks import Natural, check_kinds
from backbones.one_line import one_line
from seenn_env import Traces

POLICIES = ("per-timestep margin", "optimal stopping")
COSTS = (0.3, 0.1, 0.03, 0.01, 0.003)
"""Time costs of optimal stopping; the fit with the nearest mean timesteps serves a target."""


@dataclass(frozen=True)
class Headroom:
    """Gains over one threshold on confidence at equal mean timesteps, on held-out rows."""

    targets: tuple[float, ...]
    """G mean timesteps."""
    confidence: tuple[Interval, ...]
    """G accuracies of the confidence threshold, fractions."""
    gains: dict[str, tuple[DifferenceInterval, ...]]
    """Policy: G differences to the confidence threshold."""
    full: float
    """Accuracy at T."""
    stable: tuple[float, float]
    """Accuracy and mean timesteps of exits, in hindsight, at the first timestep with the prediction of T."""
    samples: int
    folds: int
    split: str
    """Of the rows."""

    __repr__ = one_line

    def table(self) -> str:
        """As text."""
        width = max(map(len, self.gains))
        head = f"{'target':>8}  confidence %      " + "  ".join(f"{name:>{max(width, 22)}}" for name in self.gains)
        title = "points gained over a confidence threshold at equal mean timesteps [95 %]"
        lines = [f"{title}, split {self.split}, {self.folds} folds", head]
        for g, target in enumerate(self.targets):
            base = self.confidence[g]
            cells = [intervals[g].points() for intervals in self.gains.values()]
            shown = f"{100 * base.estimate:6.2f}"
            lines.append(f"{target:8.3g}  {shown:<18}" + "  ".join(f"{cell:>{max(width, 22)}}" for cell in cells))
        accuracy, timesteps = self.stable
        lines.append(
            f"all timesteps: {100 * self.full:.2f} %; exits when the answer is final (hindsight): "
            f"{100 * accuracy:.2f} % at {timesteps:.3f} timesteps; {self.samples} samples"
        )
        return "\n".join(lines)


@check_kinds
def headroom(
    traces: Traces,
    *,
    targets: Sequence[float] = (1.1, 1.2, 1.5, 2.0),
    folds: int = 5,
    observation: str = "features",
    seed: Natural = 0,
) -> Headroom:
    """Cross-fitted gains over a confidence threshold.

    Samples are divided into folds. The rows of each fold are scored by policies fitted to the other folds: thresholds
    per timestep, and optimal stopping by boosted trees. The scores of all folds together give the curve of each
    policy; intervals resample samples.

    Args:
        traces: of any split but "test".
        targets: G mean timesteps, from 1 to T.
        folds: at least 2.
        observation: of optimal stopping.
        seed: of the folds, the fits and the bootstrap.

    Raises:
        InputError: for traces of split "test", one timestep, fewer samples than folds, or targets out of range.
    """
    traces.refuse_test("headroom")
    T, N = traces.timesteps, len(traces)
    if T < 2:
        raise InputError("Expected traces of at least 2 timesteps, got 1: there is nothing to decide.")
    if len(targets) == 0 or min(targets) < 1 or max(targets) > T:
        raise InputError(f"Expected targets from 1 to T = {T}, got {' '.join(map('{:g}'.format, targets)) or 'none'}.")
    clusters = Clusters(traces.sample, seed=seed)
    base = _scores_at(Confidence(), traces)
    confidence = matched_accuracy(base, traces.correct, np.array(targets), clusters)
    scores = np.empty((len(POLICIES), len(targets), N, T - 1))
    for training, rows in folds_of(traces, folds, seed):
        held_out, others = traces[rows], traces[training]
        stopping = [
            fit_optimal_stopping(
                others, StoppingSettings(), observation=observation, reward_options={"cost": cost}, seed=seed
            )
            for cost in COSTS
        ]
        means = np.array([exits_at(_scores_at(fit, others), 0.0).mean() for fit in stopping])
        for g, target in enumerate(targets):
            rule = calibrate(PerTimestep(Margin()), others, target_timesteps=target)
            nearest = stopping[int(np.abs(means - target).argmin())]
            fitted = calibrate(nearest, others, target_timesteps=target)
            scores[0, g, rows], scores[1, g, rows] = _scores_at(rule, held_out), _scores_at(fitted, held_out)
    gains: dict[str, list[DifferenceInterval]] = {policy: [] for policy in POLICIES}
    for policy, of_targets in zip(POLICIES, scores, strict=True):
        for g, target in enumerate(targets):
            estimate, draws = matched_accuracy(of_targets[g], traces.correct, np.array([target]), clusters)
            gains[policy].append(
                DifferenceInterval.of(estimate[0] - confidence[0][g], draws[:, 0] - confidence[1][:, g])
            )
    settled = (traces.predictions == traces.predictions[:, -1:]).argmax(1)
    return Headroom(
        targets=tuple(targets),
        confidence=tuple(Interval.of(confidence[0][g], confidence[1][:, g]) for g in range(len(targets))),
        gains={policy: tuple(intervals) for policy, intervals in gains.items()},
        full=float(traces.accuracy[-1]),
        stable=(float(traces.correct[np.arange(N), settled].mean()), float(settled.mean() + 1)),
        samples=clusters.count,
        folds=folds,
        split=traces.split,
    )


def _scores_at(policy: ScoredPolicy, traces: Traces) -> np.ndarray:
    """Scores minus the level, comparable between policies fitted to different rows."""
    level = policy.level if np.isfinite(policy.level) else 0.0
    return policy.trace_scores(traces) - level


def folds_of(traces: Traces, folds: int = 5, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of training rows `[n]` and held-out rows `[m]`; the rows of one sample are in the same fold. An
    `InputError` for fewer than two folds, or fewer samples than folds.
    """
    samples, of_row = np.unique(traces.sample, return_inverse=True)
    if not 2 <= folds <= len(samples):
        raise InputError(f"Expected folds from 2 to the number of samples, {len(samples)}, got {folds}.")
    fold = np.random.default_rng(seed).permutation(len(samples)) % folds
    for place in range(folds):
        held_out = fold[of_row] == place
        yield np.flatnonzero(~held_out), np.flatnonzero(held_out)
