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
    rows, answer = np.arange(len(p)), p.argmax(-1)
    confidence, others = p[rows, answer], p.copy()
    others[rows, answer] = -1
    later = timestep > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(-1) / np.log(np.float32(K))
    columns = (
        confidence,
        confidence - others.max(-1),
        entropy,
        later & (now.prediction == before.prediction),
        later * np.abs(p - before.p).sum(-1) / 2,
        timestep / timesteps,
    )
    return np.stack(columns, -1).astype(np.float32).clip(0, 1)


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
