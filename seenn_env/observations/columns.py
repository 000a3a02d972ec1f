"""The columns of this package's observations: pure functions of logits, spikes and potentials.

Letters: B rows, T timesteps, K classes, F columns or features of the last hidden layer.
"""

from typing import NamedTuple

import numpy as np

LOGITS_RANGE = 20.0
"""The observation "logits" clips to ± this."""

MEMBRANE_RANGE = 5.0
"""The observation "membrane" clips to ± this, in units of the threshold's scale."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """`[…, K]` probabilities."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


_SMALLEST = np.finfo(np.float32).smallest_subnormal
"""Its logarithm is finite, for 0 · log 0 = 0."""

FEATURES = ("confidence", "margin", "entropy", "agreement", "change", "elapsed")


class Answers(NamedTuple):
    """What the features need of the logits at one timestep."""

    p: np.ndarray
    """`[B, K]` probabilities."""
    prediction: np.ndarray
    """`[B]` the class with the largest logit."""


def answers(logits: np.ndarray) -> Answers:
    """Probabilities and predictions of logits `[B, K]`."""
    return Answers(softmax(logits), logits.argmax(-1))


def features(now: Answers, before: Answers, timestep: np.ndarray, timesteps: int) -> np.ndarray:
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


def with_hidden(
    now: Answers, before: Answers, timestep: np.ndarray, timesteps: int, *, hidden: np.ndarray
) -> np.ndarray:
    """The features, and the pooled spikes of the last hidden layer, clipped to 0…1."""
    return np.concatenate([features(now, before, timestep, timesteps), hidden.clip(0, 1)], -1)


def with_membrane(
    now: Answers, before: Answers, timestep: np.ndarray, timesteps: int, *, membrane: np.ndarray
) -> np.ndarray:
    """The features, and the pooled potentials of the last hidden layer, clipped to ±`MEMBRANE_RANGE`."""
    clipped = membrane.clip(-MEMBRANE_RANGE, MEMBRANE_RANGE)
    return np.concatenate([features(now, before, timestep, timesteps), clipped], -1)
