"""A threshold of its own for every timestep, fitted by search: the strongest simple rival known.

    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.5)

Letters: B rows, N rows of the traces, T timesteps.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agents.curves import exits_at, level_curve
from agents.policy import scores_of
from agents.rules import ELAPSED, Confidence, Entropy, Margin
from backbones import InputError
from seenn_env import Traces

_PRICES = np.geomspace(3e-4, 0.3, 28)
"""Prices of a timestep, in accuracy, at which thresholds are fitted."""
_SWEEPS = 20


@dataclass(frozen=True)
class PerTimestep:
    """Exits at timestep t when the rule's score is at least that of `thresholds[t-1]`, t = 1…T-1.

    Args:
        rule: whose column and direction count; its own threshold does not.
        thresholds: `[T-1]` in the rule's units; empty before `calibrate` has fitted them.
        shift: asks for this much more score at every timestep: one number that moves all thresholds.
    """

    rule: Confidence | Entropy | Margin
    thresholds: tuple[float, ...] = ()
    shift: float = 0.0
    observation: ClassVar[str] = "features"

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.shift

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: how far the rule's score is above this timestep's threshold."""
        if not self.thresholds:
            raise InputError("Expected a PerTimestep rule with thresholds, got none: calibrate it first.")
        T = len(self.thresholds) + 1
        timestep = np.rint(observation[:, ELAPSED] * T).astype(np.int64)
        wanted = np.append(np.array(self.thresholds), 0.0)[np.minimum(timestep, T) - 1]
        return self.rule.score(observation) - self.rule.sign * wanted

    def at_level(self, level: float) -> "PerTimestep":
        """See `ScoredPolicy.at_level`."""
        return replace(self, shift=float(level))

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, None]:
        """Actions `[B]`."""
        return (self.score(observation) >= self.shift).astype(np.int64), None


def fit_thresholds(rule: PerTimestep, traces: Traces, target_timesteps: float) -> PerTimestep:
    """The thresholds with the most accuracy at a mean number of timesteps.

    For each of a range of prices of a timestep, coordinate ascent on accuracy - price · mean timesteps:
    with the other thresholds held, the best one of a timestep is found exactly by sorting. Each result is
    shifted to the target, and the one that is most accurate there is kept.
    """
    scores, correct = scores_of(rule.rule, traces), traces.correct
    best, best_accuracy = rule, -1.0
    levels = np.full(scores.shape[1], np.median(scores) if scores.size else 0.0)
    for price in _PRICES:
        levels = _ascend(scores, correct, price, levels)
        curve = level_curve(scores - levels, correct)
        entry = curve.nearest(target_timesteps)
        if curve.accuracy[entry] > best_accuracy:
            best_accuracy = float(curve.accuracy[entry])
            thresholds = tuple(float(rule.rule.sign * level) for level in levels)
            best = replace(rule, thresholds=thresholds, shift=float(curve.levels[entry]))
    return best


def _ascend(scores: np.ndarray, correct: np.ndarray, price: float, levels: np.ndarray) -> np.ndarray:
    N, T = correct.shape
    levels = levels.copy()
    worth = correct - price * np.arange(1, T + 1)
    orders = [np.argsort(-scores[:, t], kind="stable") for t in range(T - 1)]
    best_value = -np.inf
    for _ in range(_SWEEPS):
        for t in reversed(range(T - 1)):
            reached = np.logical_not((scores[:, :t] >= levels[:t]).any(axis=1))
            later = exits_at(scores[:, t + 1 :] - levels[t + 1 :], 0.0)
            goes_on = worth[np.arange(N), t + later]
            order = orders[t][reached[orders[t]]]
            gains = np.concatenate([[0.0], np.cumsum(worth[order, t] - goes_on[order])])
            ranked = scores[order, t]
            distinct = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])[: len(gains)]
            gains[~distinct] = -np.inf
            count = int(gains.argmax())
            above = ranked[count - 1] if count else np.inf
            below = ranked[count] if count < len(ranked) else -np.inf
            levels[t] = _between(below, above)
        value = worth[np.arange(N), exits_at(scores - levels, 0.0) - 1].mean()
        if value <= best_value + 1e-12:
            break
        best_value = value
    return levels


def _between(below: float, above: float) -> float:
    """A level that those above reach and those below do not."""
    if np.isinf(above):
        return below + 1e-6 if np.isfinite(below) else 0.0
    if np.isinf(below):
        return above
    middle = (below + above) / 2
    return middle if middle > below else above
