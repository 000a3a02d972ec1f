"""Calibrated confidence: temperature scaling, and tables of the held-out accuracy at a confidence.

    rule = calibrate(ScaledConfidence(), traces, target_timesteps=1.5)      # fits the temperatures, then the threshold

Letters: B rows, N rows of the traces, T timesteps, M knots of a table.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.rules.score import COLUMNS, ScoredPolicy, scores_by_timestep, timestep_of
from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from seenn_env import Traces
from seenn_env.observations import softmax

_CONFIDENCE = COLUMNS["confidence"]
_TEMPERATURES = (0.02, 50.0)
_TIE_BREAK = 1e-7
"""Weight of the confidence in the score: it orders the rows of one bin."""


@dataclass(frozen=True)
class ScaledConfidence(ScoredPolicy):
    """Exits when the largest probability of softmax(logits / temperature) is at least the threshold.

    Temperatures are fitted by maximum likelihood (Guo et al., ICML 2017), one for each timestep or one for all.
    Logits are those of the observation "logits", clipped to its range.

    Args:
        threshold: from 0 to 1.
        temperatures: `[T]`, or `[1]` for all timesteps; empty before `fit`.
        shared: fit one temperature for all timesteps.
    """

    threshold: float = 0.9
    temperatures: tuple[float, ...] = ()
    shared: bool = False
    observation = "logits"
    largest = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "temperatures", tuple(self.temperatures))
        if not all(temperature > 0 for temperature in self.temperatures):
            raise InputError(f"Expected temperatures above 0, got {self.temperatures}.")

    @property
    def fitted(self) -> bool:  # type: ignore[override]
        """See `ScoredPolicy.fitted`."""
        return bool(self.temperatures)

    @check_kinds
    def fit(self, traces: Traces) -> "ScaledConfidence":
        """The rule with the temperatures of maximum likelihood on these traces."""
        traces.refuse_test("fitting temperatures")
        logits = traces.columns("logits")[..., :-1].astype(np.float64)
        parts = [logits.reshape(-1, logits.shape[-1])] if self.shared else list(logits.swapaxes(0, 1))
        labels = np.repeat(traces.labels, traces.timesteps) if self.shared else traces.labels
        return replace(self, temperatures=tuple(fit_temperature(part, labels) for part in parts))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        if not self.temperatures:
            raise _not_fitted(self)
        T = len(self.temperatures)
        logits = observation[:, :-1].astype(np.float64)
        at = timestep_of(observation, "logits", T) - 1 if T > 1 else np.zeros(len(logits), np.int64)
        confidence: np.ndarray = softmax(logits / np.array(self.temperatures)[at][:, None]).max(-1)
        return confidence


@dataclass(frozen=True)
class PerformanceConfidence(ScoredPolicy):
    """Exits when the accuracy of held-out rows with the same confidence at this timestep reaches the threshold.

    Performance control early exiting (Mofakhami et al. 2024, arXiv 2412.19325): the threshold is an accuracy.

    Args:
        threshold: an accuracy, from 0 to 1.
        confidences: `[T-1, M]` ascending knots of confidence; empty before `fit`.
        accuracies: `[T-1, M]` held-out accuracy at the knots, interpolated between them.
        method: "binned" (means of bins of equally many rows) or "isotonic" (never falls as confidence rises).
        bins: of the method "binned".
    """

    threshold: float = 0.9
    confidences: tuple[tuple[float, ...], ...] = ()
    accuracies: tuple[tuple[float, ...], ...] = ()
    method: str = "isotonic"
    bins: Positive = 50
    observation = "features"
    largest = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("confidences", "accuracies"):
            object.__setattr__(self, name, tuple(tuple(row) for row in vars(self)[name]))
        if self.method not in ("binned", "isotonic"):
            raise InputError(f"Expected the method 'binned' or 'isotonic', got {self.method!r}.")

    @property
    def fitted(self) -> bool:  # type: ignore[override]
        """See `ScoredPolicy.fitted`."""
        return bool(self.confidences)

    @check_kinds
    def fit(self, traces: Traces) -> "PerformanceConfidence":
        """The rule with the table of these traces."""
        traces.refuse_test("fitting a table of accuracies")
        from sklearn.isotonic import IsotonicRegression  # slow to import

        confidence = traces.columns(self.observation)[..., _CONFIDENCE].astype(np.float64)
        knots = []
        for t in range(max(traces.timesteps - 1, 1)):
            correct = traces.correct[:, t].astype(np.float64)
            if self.method == "binned":
                bins = np.array_split(np.argsort(confidence[:, t], kind="stable"), min(self.bins, len(correct)))
                knots.append(([confidence[rows, t].mean() for rows in bins], [correct[rows].mean() for rows in bins]))
            else:
                curve = IsotonicRegression(out_of_bounds="clip").fit(confidence[:, t], correct)
                knots.append((curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist()))
        confidences = tuple(tuple(float(c) for c in row) for row, _ in knots)
        return replace(self, confidences=confidences, accuracies=tuple(tuple(map(float, row)) for _, row in knots))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        if not self.confidences:
            raise _not_fitted(self)
        count = len(self.confidences)
        at = np.minimum(timestep_of(observation, self.observation, count + 1), count) - 1
        confidence = observation[:, _CONFIDENCE].astype(np.float64)
        accuracy = scores_by_timestep(
            confidence, at, lambda t, own: np.interp(own, self.confidences[t], self.accuracies[t])
        )
        return (1 - _TIE_BREAK) * accuracy + _TIE_BREAK * confidence


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of logits `[N, K]` with the least mean -log p of the labels."""
    logits = logits - logits.max(-1, keepdims=True)
    own = logits[np.arange(len(labels)), labels]
    from scipy.optimize import minimize_scalar  # slow to import

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float((np.log(np.exp(scale * logits).sum(-1)) - scale * own).mean())

    optimum: Any = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(optimum.x))


def _not_fitted(rule: Any) -> InputError:
    return InputError(f"Expected a fitted {type(rule).__name__}, got one without its table: fit or calibrate it first.")
