"""The best rule of one threshold at a target: the reference of every learned policy.

    rule = best_threshold(traces.select("calibration"), 1.5)

Letters: N rows, T timesteps.
"""

import warnings

import numpy as np

from agents.calibration.curve import exit_curve, exits_at
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Confidence, Entropy, Gap, Margin
from seenn_env import Traces

SINGLE_THRESHOLDS: tuple[ScoredPolicy, ...] = (Confidence(), Margin(), Entropy(), Gap())


def best_threshold(traces: Traces, target_timesteps: float) -> ScoredPolicy:
    """The most accurate rule of one threshold on these traces, at the level whose mean timesteps are nearest."""
    candidates = []
    for rule in SINGLE_THRESHOLDS:
        curve = exit_curve(rule, traces)
        entry = curve.nearest(target_timesteps)
        candidates.append((float(curve.accuracy[entry]), rule.at_level(float(curve.levels[entry]))))
    return max(candidates, key=lambda pair: pair[0])[1]


def warn_if_worse(policy: ScoredPolicy, name: str, traces: Traces, target_timesteps: float) -> None:
    """Warn where a policy, calibrated on these traces (of split "calibration"), is significantly less accurate than the
    best rule of one threshold: the 95 % interval of the paired difference, over samples, is below 0. `name` is the
    algorithm's.
    """
    rule = best_threshold(traces, target_timesteps)
    rows, correct, figures = np.arange(len(traces)), [], []
    for each in (policy, rule):
        exits = exits_at(each.trace_scores(traces), each.level)
        correct.append(traces.correct[rows, exits - 1].astype(float))
        figures.append(f"{100 * correct[-1].mean():.2f} % at {exits.mean():.3f}")
    samples, of_row = np.unique(traces.sample, return_inverse=True)
    difference = np.bincount(of_row, correct[0] - correct[1]) / len(rows)  # each sample's part of the mean
    error = np.sqrt(len(samples)) * difference.std()
    if difference.sum() + 1.96 * error < 0:
        warnings.warn(
            f"{name} has {figures[0]} timesteps on calibration, less than a threshold of {type(rule).__name__} with "
            f"{figures[1]}: use that rule, or train for longer or on a richer observation.",
            stacklevel=4,
        )
