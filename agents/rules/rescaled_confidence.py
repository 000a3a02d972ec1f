"""Calibrated confidence: temperature scaling, and tables of the held-out accuracy at a confidence.

    rule = calibrate(ScaledConfidence(), traces, target_timesteps=1.5)      # fits the temperatures, then the threshold

Letters: B rows, N rows of the traces, T timesteps, M knots of a table.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.rules.score import COLUMNS, ScoredPolicy, scores_by_timestep, timestep_of
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.one_line import one_line
from seenn_env import Traces
from seenn_env.observations import softmax

_CONFIDENCE = COLUMNS["confidence"]
_TEMPERATURES = (0.02, 50.0)
_TIE_BREAK = 1e-7
"""Weight of the confidence in the score: it orders rows of equal accuracy."""


@dataclass(frozen=True)
class ScaledConfidence(ScoredPolicy):
    """Exits when the largest probability of softmax(logits / temperature) is at least the threshold.

    One temperature per timestep is fitted by maximum likelihood (Guo et al., ICML 2017). Logits are those of the
    observation "logits", clipped to its range.

    Args:
        threshold: from 0 to 1.
        temperatures: `[T]`; empty before `fit`.
    """

    threshold: float = 0.9
    temperatures: tuple[float, ...] = ()

    __repr__ = one_line
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
        temperatures = [fit_temperature(at_timestep, traces.labels) for at_timestep in logits.swapaxes(0, 1)]
        return replace(self, temperatures=tuple(temperatures))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        if not self.temperatures:
            raise _not_fitted(self)
        T = len(self.temperatures)
        logits = observation[:, :-1].astype(np.float64)
        at = timestep_of(observation, "logits", T) - 1
        confidence: np.ndarray = softmax(logits / np.array(self.temperatures)[at][:, None]).max(-1)
        return confidence


@dataclass(frozen=True)
class PerformanceConfidence(ScoredPolicy):
    """Exits when the accuracy of held-out rows with the same confidence at this timestep reaches the threshold.

    Performance control early exiting (Mofakhami et al. 2024, arXiv 2412.19325): the threshold is an accuracy.

    Args:
        threshold: an accuracy, from 0 to 1.
        confidences: `[T-1, M]` ascending knots of confidence; empty before `fit`.
        accuracies: `[T-1, M]` held-out accuracy at the knots, by isotonic regression, interpolated between them.
    """

    threshold: float = 0.9
    confidences: tuple[tuple[float, ...], ...] = ()
    accuracies: tuple[tuple[float, ...], ...] = ()

    __repr__ = one_line
    observation = "features"
    largest = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("confidences", "accuracies"):
            object.__setattr__(self, name, tuple(tuple(row) for row in vars(self)[name]))

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
        curves = [
            IsotonicRegression(out_of_bounds="clip").fit(confidence[:, t], traces.correct[:, t].astype(np.float64))
            for t in range(max(traces.timesteps - 1, 1))
        ]
        return replace(
            self,
            confidences=tuple(tuple(curve.X_thresholds_.tolist()) for curve in curves),
            accuracies=tuple(tuple(curve.y_thresholds_.tolist()) for curve in curves),
        )

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
