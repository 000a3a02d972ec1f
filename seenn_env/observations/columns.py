"""Columns of the named observations: pure functions of logits, spikes and potentials.

Letters: B rows, T timesteps, K classes, F columns, k = min(5, K).
"""

from typing import NamedTuple

import numpy as np

LOGITS_RANGE = 20.0
"""The observation "logits" clips to ± this."""

MEMBRANE_RANGE = 5.0
"""The observation "membrane" clips to ± this, in units of the threshold's scale."""

GAP_RANGE = 2 * LOGITS_RANGE
"""The gap is clipped to this."""

FEATURES = ("confidence", "margin", "entropy", "agreement", "change", "elapsed")

RICH = ("gap", "top_logit", "log_sum_exp", "summed_confidence", "answer_before", "margin_before")
"""Columns after the features; then `probability_1` … `probability_k`, sorted."""

_SMALLEST = np.finfo(np.float32).smallest_subnormal
"""Its logarithm is finite, for 0 · log 0 = 0."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """`[…, K]` probabilities."""
    with np.errstate(over="ignore"):  # e^-∞ = 0
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


class Readout(NamedTuple):
    """Probabilities and predictions at one timestep, the classes ranked or not."""

    p: np.ndarray
    """`[B, K]` probabilities."""
    prediction: np.ndarray
    """`[B]` the class with the largest logit."""
    logits: np.ndarray
    """`[B, K]`."""
    top: np.ndarray | None = None
    """`[B, k]` the k likeliest classes, likeliest first."""


def readout(logits: np.ndarray) -> Readout:
    """Of logits `[B, K]`."""
    return Readout(softmax(logits), logits.argmax(-1), logits)


def ranked_readout(logits: np.ndarray) -> Readout:
    """Of logits `[B, K]`, with `top`."""
    return readout(logits)._replace(top=np.argsort(-logits, axis=-1, kind="stable")[:, :5])


def features(now: Readout, before: Readout, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """Class-agnostic columns, each in [0, 1].

    - confidence: the largest probability p₁ of softmax(logits)
    - margin: p₁ - p₂, the largest less the second
    - entropy: -Σ p log p / log K
    - agreement: 1 if the prediction is that of the timestep before (0 at timestep 1)
    - change: ½ Σ |p - p_before|, the total variation distance from the timestep before (0 at timestep 1)
    - elapsed: timestep / T
    """
    p, K = now.p, now.p.shape[-1]
    columns = np.empty((len(p), len(FEATURES)), np.float32)
    largest = np.partition(p, K - 2)[:, -2:]
    columns[:, 0] = largest[:, 1]
    columns[:, 1] = largest[:, 1] - largest[:, 0]
    columns[:, 2] = -(p * np.log(np.maximum(p, _SMALLEST))).sum(-1) / np.log(np.float32(K))
    later = timestep > 1
    columns[:, 3] = later & (now.prediction == before.prediction)
    columns[:, 4] = later * np.abs(p - before.p).sum(-1) / 2
    columns[:, 5] = timestep / timesteps
    return columns.clip(0, 1, out=columns)


def clipped_logits(logits: np.ndarray, previous: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The running logits clipped to ±`LOGITS_RANGE`, and elapsed = timestep / T."""
    elapsed = (timestep / timesteps).astype(np.float32)
    return np.concatenate([logits.clip(-LOGITS_RANGE, LOGITS_RANGE), elapsed[:, None]], -1)


def rich(now: Readout, before: Readout, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The features, then class-agnostic columns.

    - gap: the largest logit less the second, clipped to `GAP_RANGE`
    - top_logit: the largest logit, clipped to ±`LOGITS_RANGE`
    - log_sum_exp: log Σ exp of the logits, clipped likewise
    - summed_confidence: the largest probability of softmax(t · logits), of logits that are summed over time
    - answer_before: the probability of the present prediction at the timestep before (0 at timestep 1)
    - margin_before: the margin at the timestep before (0 at timestep 1)
    - probability_1 … probability_k: the k largest probabilities
    """
    p, q, logits = now.p, before.p, now.logits
    assert now.top is not None
    ranked = np.take_along_axis(logits, now.top, -1)
    top = ranked[:, 0]
    with np.errstate(over="ignore", under="ignore"):
        log_sum_exp = top + np.log(np.exp(logits - top[:, None]).sum(-1))
        summed = 1 / np.exp(timestep[:, None].astype(np.float32) * (logits - top[:, None])).sum(-1)
        gap = top - ranked[:, 1] if ranked.shape[1] > 1 else np.full(len(top), GAP_RANGE)
    later, previous = timestep > 1, -np.sort(-q, axis=-1)[:, :2]
    margin = previous[:, 0] - previous[:, 1] if q.shape[1] > 1 else previous[:, 0]
    columns = (
        gap.clip(0, GAP_RANGE),
        top.clip(-LOGITS_RANGE, LOGITS_RANGE),
        log_sum_exp.clip(-LOGITS_RANGE, LOGITS_RANGE),
        summed.clip(0, 1),
        later * q[np.arange(len(q)), now.prediction],
        later * margin,
    )
    probabilities = np.take_along_axis(p, now.top, -1)
    basic = features(now, before, timestep, timesteps)
    return np.concatenate([basic, np.stack(columns, -1).astype(np.float32), probabilities.clip(0, 1)], -1)


def with_classes(now: Readout, before: Readout, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The features, and the likeliest and the second class, one-hot."""
    assert now.top is not None
    classes = np.zeros((len(now.top), 2, now.logits.shape[-1]), np.float32)
    for place in range(min(2, now.top.shape[1])):
        classes[np.arange(len(classes)), place, now.top[:, place]] = 1
    basic = features(now, before, timestep, timesteps)
    return np.concatenate([basic, classes.reshape(len(classes), -1)], -1)


def with_probe(
    now: Readout, before: Readout, timestep: np.ndarray, timesteps: int, *, low: float, high: float, **probe: np.ndarray
) -> np.ndarray:
    """The features, and one probe `[B, F]` of the last hidden layer, clipped."""
    (activity,) = probe.values()
    return np.concatenate([features(now, before, timestep, timesteps), activity.clip(low, high)], -1)
