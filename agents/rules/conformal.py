"""SpikeCP's rule: exit when the conformal prediction set is small enough.

    rule = ConformalSets(miscoverage=0.1).fit(traces.select("calibration"))

Letters: B rows, n rows of the calibration, T timesteps, K classes.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from agents.rules.score import ScoredPolicy, timestep_of
from backbones import InputError
from backbones.argument_checks import Positive, check_fields, check_kinds
from seenn_env import Traces
from seenn_env.observations import softmax


@dataclass(frozen=True)
class ConformalSets(ScoredPolicy):
    """Exits when the prediction set holds at most `size` classes (SpikeCP, Chen et al., arXiv 2305.11322).

    At each of the T checkpoints the set holds every class whose conformal p-value exceeds `miscoverage` / T
    (Bonferroni, so that all T sets hold the label together with probability at least 1 - `miscoverage`, for rows
    exchangeable with the calibration's). The nonconformity of a class is one less its probability. The set has at
    most `size` classes exactly if the next likeliest class has a p-value of at most `miscoverage` / T, so
    minus that p-value is the score, and a level is a miscoverage. The guarantee holds for a miscoverage that is
    stated beforehand: `calibrate` turns it to a target, and then there is none.

    Args:
        miscoverage: how often a set may miss the label; 0.1 means sets hold it in 90 % of rows.
        size: the largest set at which to exit.
        nonconformity: `[T, n]` float32, each timestep's ascending; empty before `fit`.
    """

    miscoverage: float = 0.1
    size: Positive = 1
    nonconformity: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), compare=False)
    observation = "logits"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.miscoverage >= 0:
            raise InputError(f"Expected a miscoverage ≥ 0, got {self.miscoverage}.")
        if self.nonconformity.ndim != 2:
            raise InputError(f"Expected nonconformity [T, n], got {list(self.nonconformity.shape)}.")

    @property
    def fitted(self) -> bool:
        """Whether there is a calibration."""
        return self.nonconformity.size > 0

    @check_kinds
    def fit(self, traces: Traces) -> "ConformalSets":
        """With the nonconformities of these traces' labels."""
        traces.refuse_test("conformal calibration")
        p = softmax(traces.columns("logits")[..., :-1].astype(np.float64))
        own = np.take_along_axis(p, traces.labels[:, None, None], -1)[..., 0]
        return replace(self, nonconformity=np.sort(1 - own.T, axis=1).astype(np.float32))

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return -self.miscoverage / max(len(self.nonconformity), 1)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: minus the p-value of the likeliest class that the set must not hold."""
        p = softmax(observation[:, :-1].astype(np.float64))
        K = p.shape[1]
        if self.size >= K:
            return np.zeros(len(p))
        values = self.p_values(observation, 1 - np.sort(p, axis=1)[:, K - 1 - self.size])
        return -values

    def p_values(self, observation: np.ndarray, nonconformity: np.ndarray) -> np.ndarray:
        """`[B]` p-values of nonconformities `[B]` at the timesteps of observations `[B, K + 1]`.

        Raises:
            InputError: before `fit`.
        """
        if not self.fitted:
            raise InputError("Expected fitted ConformalSets, got none: fit or calibrate them first.")
        T, n = self.nonconformity.shape
        at = timestep_of(observation, self.observation, T) - 1
        values = np.empty(len(observation))
        for t in np.unique(at):
            rows = at == t
            below = np.searchsorted(self.nonconformity[t], nonconformity[rows].astype(np.float32), side="left")
            values[rows] = (1 + n - below) / (n + 1)
        return values

    @check_kinds
    def at_level(self, level: float) -> "ConformalSets":
        """See `ScoredPolicy.at_level`."""
        return replace(self, miscoverage=float(max(-level * max(len(self.nonconformity), 1), 0.0)))
