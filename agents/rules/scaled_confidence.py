"""Calibrated confidence by temperature scaling.

    rule = calibrate(ScaledConfidence(), traces, target_timesteps=1.5)      # fits the temperatures, then the threshold

Letters: N rows of the traces, T timesteps, K classes.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from agents.rules.score import ScoredPolicy, timestep_of
from backbones import InputError
from backbones.argument_checks import AtLeast, AtMost, check_kinds
from seenn_env import Traces
from seenn_env.observations import softmax

_TEMPERATURES = (0.02, 50.0)


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
    temperatures: tuple[Annotated[float, AtLeast(1e-6), AtMost(1e6)], ...] = ()
    observation = "logits"
    largest = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "temperatures", tuple(self.temperatures))

    @property
    def made_for(self) -> int | None:
        """See `ScoredPolicy.made_for`; None before `fit`."""
        return len(self.temperatures) or None

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
            raise InputError(
                "Expected a fitted ScaledConfidence, got one without temperatures: fit or calibrate it first."
            )
        T = len(self.temperatures)
        logits = observation[:, :-1].astype(np.float64)
        at = timestep_of(observation, "logits", T) - 1
        return softmax(logits / np.array(self.temperatures)[at][:, None]).max(-1)


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
