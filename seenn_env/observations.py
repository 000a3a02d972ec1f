"""What an agent sees after a timestep: columns of numbers, computed once for replay and row by row when live.

    observation = make_observation("features", timesteps=8, num_classes=10)
    columns = observation(logits, previous, timestep)             # [B, F] float32

Letters: B rows, T timesteps, K classes, F columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backbones import unknown_name

Columns = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]

LOGITS_RANGE = 20.0
"""The observation "logits" clips to ± this."""


@dataclass(frozen=True)
class Observation:
    """An observation by name: its columns, their names and their bounds."""

    name: str
    timesteps: int
    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    columns: Columns

    def __call__(self, logits: np.ndarray, previous: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """`[B, F]` float32 columns.

        Args:
            logits: `[B, K]` the running logits.
            previous: `[B, K]` those of the timestep before; not read where the timestep is 1.
            timestep: `[B]` from 1.
        """
        return self.columns(
            logits.astype(np.float32), previous.astype(np.float32), np.asarray(timestep), self.timesteps
        )

    def of_trace(self, logits: np.ndarray) -> np.ndarray:
        """`[N, T, F]` float32 columns of whole traces `[N, T, K]`."""
        N, T, _ = logits.shape
        result = np.empty((N, T, len(self.names)), np.float32)
        chunk = max(1, (1 << 22) // logits.shape[2])
        for begin in range(0, N, chunk):
            part = logits[begin : begin + chunk]
            for t in range(T):
                timestep = np.full(len(part), t + 1)
                result[begin : begin + chunk, t] = self(part[:, t], part[:, max(t - 1, 0)], timestep)
        return result


def softmax(logits: np.ndarray) -> np.ndarray:
    """`[…, K]` probabilities."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


FEATURES = ("confidence", "margin", "entropy", "agreement", "change", "elapsed")


def features(logits: np.ndarray, previous: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """Class-agnostic columns, each in [0, 1].

    - confidence: the largest probability p₁ of softmax(logits)
    - margin: p₁ - p₂, the largest less the second
    - entropy: -Σ p log p / log K
    - agreement: 1 if the prediction is that of the timestep before (0 at timestep 1)
    - change: ½ Σ |p - p_before|, the total variation distance from the timestep before (0 at timestep 1)
    - elapsed: timestep / T
    """
    K = logits.shape[-1]
    p, before = softmax(logits), softmax(previous)
    top = np.partition(p, K - 2, axis=-1)
    later = timestep > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(-1) / np.log(np.float32(K))
    columns = (
        top[:, -1],
        top[:, -1] - top[:, -2],
        entropy,
        later & (logits.argmax(-1) == previous.argmax(-1)),
        later * np.abs(p - before).sum(-1) / 2,
        timestep / timesteps,
    )
    return np.stack(columns, -1).astype(np.float32).clip(0, 1)


def clipped_logits(logits: np.ndarray, previous: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The running logits clipped to ±`LOGITS_RANGE`, and elapsed = timestep / T."""
    elapsed = (timestep / timesteps).astype(np.float32)
    return np.concatenate([logits.clip(-LOGITS_RANGE, LOGITS_RANGE), elapsed[:, None]], -1)


def _make_features(timesteps: int, num_classes: int) -> Observation:
    zeros = np.zeros(len(FEATURES), np.float32)
    return Observation("features", timesteps, FEATURES, zeros, zeros + 1, features)


def _make_logits(timesteps: int, num_classes: int) -> Observation:
    names = (*(f"logit_{k}" for k in range(num_classes)), "elapsed")
    high = np.append(np.full(num_classes, LOGITS_RANGE), 1).astype(np.float32)
    low = np.append(np.full(num_classes, -LOGITS_RANGE), 0).astype(np.float32)
    return Observation("logits", timesteps, names, low, high, clipped_logits)


OBSERVATIONS: dict[str, Callable[[int, int], Observation]] = {
    "features": _make_features,
    "logits": _make_logits,
}


def make_observation(name: str, *, timesteps: int, num_classes: int) -> Observation:
    """The observation of that name.

    Raises:
        InputError: for a name that is not known.
    """
    if name not in OBSERVATIONS:
        raise unknown_name("observation", name, OBSERVATIONS)
    return OBSERVATIONS[name](timesteps, num_classes)
