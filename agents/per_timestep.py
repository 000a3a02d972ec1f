"""A threshold of its own for every timestep, fitted by search: the strongest simple rival known.

    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.5)

Letters: B rows, N rows of the traces, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.curves import exits_at
from agents.policy import ScoredPolicy, elapsed_of, scores_of, step_scores
from backbones import InputError
from seenn_env import Traces

_PRICES = np.geomspace(3e-4, 0.3, 28)
"""Prices of a timestep, in accuracy, at which thresholds are fitted."""
_SWEEPS = 20


@dataclass(frozen=True)
class PerTimestep:
    """Exits at timestep t when the rule's score is at least that of `thresholds[t-1]`, t = 1…T-1.

    Args:
        rule: any policy with a score; its own threshold does not count.
        thresholds: `[T-1]` in the rule's units; empty before `calibrate` has fitted them.
        shift: asks for this much more score at every timestep: one number that moves all thresholds.
    """

    rule: ScoredPolicy
    thresholds: tuple[float, ...] = ()
    shift: float = 0.0

    @property
    def observation(self) -> str:
        """See `ScoredPolicy.observation`: the rule's."""
        return self.rule.observation

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.shift

    @property
    def timesteps(self) -> int | None:
        """T that the thresholds are for; None before there are any."""
        return len(self.thresholds) + 1 if self.thresholds else None

    @property
    def fitted(self) -> bool:
        """Whether the rule has what it needs of data; thresholds are found in `variants`."""
        return getattr(self.rule, "fitted", True)

    def fit(self, traces: Traces) -> "PerTimestep":
        """With a fitted rule."""
        return replace(self, rule=self.rule.fit(traces))  # type: ignore[attr-defined]

    def variants(self, traces: Traces) -> Iterator["PerTimestep"]:
        """The best thresholds of these traces at each of a range of prices of a timestep.

        Coordinate ascent on accuracy - price · mean timesteps: with the other thresholds held, the best one of
        a timestep is found exactly by sorting.
        """
        scores, correct = scores_of(self.rule, traces), traces.correct
        levels = np.full(scores.shape[1], np.median(scores) if scores.size else 0.0)
        for price in _PRICES:
            levels = _ascend(scores, correct, price, levels)
            yield replace(self, thresholds=tuple(float(_sign(self.rule) * level) for level in levels))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: how far the rule's score is above this timestep's threshold."""
        return self.score_step(observation, None, None)[0]

    def score_step(
        self, observation: np.ndarray, state: Any, episode_start: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`; the state is the rule's."""
        if not self.thresholds:
            raise InputError("Expected a PerTimestep rule with thresholds, got none: calibrate it first.")
        T = len(self.thresholds) + 1
        timestep = np.rint(elapsed_of(observation, self.observation) * T).astype(np.int64)
        wanted = np.append(np.array(self.thresholds), 0.0)[np.minimum(timestep, T) - 1]
        scores, state = step_scores(self.rule, observation, state, episode_start)
        return scores - _sign(self.rule) * wanted, state

    def at_level(self, level: float) -> "PerTimestep":
        """See `ScoredPolicy.at_level`."""
        return replace(self, shift=float(level))

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`; the state is the rule's."""
        scores, state = self.score_step(observation, state, episode_start)
        return (scores >= self.shift).astype(np.int64), state


def _sign(rule: ScoredPolicy) -> int:
    """-1 where the rule's threshold counts against its score."""
    return getattr(rule, "sign", 1)


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
