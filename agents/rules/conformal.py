"""SpikeCP's rule: exit when the conformal prediction set is small enough.

    rule = ConformalSets(miscoverage=0.1).fit(traces.select("calibration"))

Letters: B rows, n rows of the calibration traces, T timesteps, K classes.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from agents.rules.score import ScoredPolicy, scores_by_timestep, timestep_of
from backbones import InputError
from backbones.argument_checks import FromZero, Positive, check_fields, check_kinds
from backbones.one_line import one_line
from seenn_env import Traces
from seenn_env.observations import softmax


@dataclass(frozen=True)
class ConformalSets(ScoredPolicy):
    """Exits when the prediction set holds at most `size` classes (SpikeCP, Chen et al., arXiv 2305.11322).

    At each of the T timesteps the set holds every class whose conformal p-value exceeds `miscoverage` / T
    (Bonferroni: all T sets together hold the label with probability at least 1 - `miscoverage`, for rows
    exchangeable with those of the calibration). The nonconformity of a class is 1 minus its probability. The set has
    at most `size` classes exactly if the next likeliest class has a p-value of at most `miscoverage` / T, so
    minus that p-value is the score, and a level is a miscoverage. The guarantee holds for a miscoverage stated
    beforehand, not for one that `calibrate` moves to a target.

    Args:
        miscoverage: the share of rows whose sets may miss the label.
        size: the largest set at which to exit.
        nonconformity: `[T, n]` float32, each timestep's ascending; empty before `fit`.
    """

    miscoverage: FromZero = 0.1
    size: Positive = 1
    nonconformity: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), compare=False)

    __repr__ = one_line
    observation = "logits"

    def __post_init__(self) -> None:
        check_fields(self)
        own = self.nonconformity
        if own.ndim != 2 or own.dtype != np.float32:
            raise InputError(f"Expected nonconformity [T, n] of float32, got {list(own.shape)} of {own.dtype}.")
        if own.size and not (own.min() >= 0 and own.max() <= 1 and (np.diff(own, axis=1) >= 0).all()):
            raise InputError("Expected nonconformity in 0…1, ascending at each timestep, got others.")

    @property
    def made_for(self) -> int | None:
        """See `ScoredPolicy.made_for`; None before `fit`."""
        return len(self.nonconformity) or None

    @property
    def fitted(self) -> bool:  # type: ignore[override]
        """See `ScoredPolicy.fitted`."""
        return self.nonconformity.size > 0

    @check_kinds
    def fit(self, traces: Traces) -> "ConformalSets":
        """The rule with the nonconformities of these traces' labels."""
        traces.refuse_test("conformal calibration")
        p = softmax(traces.columns("logits")[..., :-1].astype(np.float64))
        own = np.take_along_axis(p, traces.labels[:, None, None], -1)[..., 0]
        return replace(self, nonconformity=np.sort(1 - own.T, axis=1).astype(np.float32))

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return -self.miscoverage / max(len(self.nonconformity), 1)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: minus the p-value of the (`size` + 1)th likeliest class."""
        p = softmax(observation[:, :-1].astype(np.float64))
        K = p.shape[1]
        if self.size >= K:
            return np.zeros(len(p))
        return -self.p_values(observation, 1 - np.sort(p, axis=1)[:, K - 1 - self.size])

    def p_values(self, observation: np.ndarray, nonconformity: np.ndarray) -> np.ndarray:
        """`[B]` p-values of nonconformities `[B]`, for observations `[B, K + 1]`; an `InputError` before `fit`."""
        if not self.fitted:
            raise InputError("Expected fitted ConformalSets, got none: fit or calibrate them first.")
        T, n = self.nonconformity.shape

        def p_value(t: int, own: np.ndarray) -> np.ndarray:
            below: np.ndarray = np.searchsorted(self.nonconformity[t - 1], own.astype(np.float32), side="left")
            return (1 + n - below) / (n + 1)

        return scores_by_timestep(nonconformity, timestep_of(observation, self.observation, T), p_value)

    @check_kinds
    def at_level(self, level: float) -> "ConformalSets":
        """See `ScoredPolicy.at_level`."""
        return replace(self, miscoverage=float(max(-level * max(len(self.nonconformity), 1), 0.0)))
