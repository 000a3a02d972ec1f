"""A threshold of its own for every timestep, fitted by search: the strongest simple rival known.

    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.5)

Letters: B rows, N rows of the traces, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.policy import ScoredPolicy, elapsed_of, scores_of, step_scores
from backbones import InputError
from backbones.kinds import check_fields, check_kinds
from seenn_env import Traces
from seenn_env.observations import AnyObservation

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

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def observation(self) -> AnyObservation:
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
    @check_kinds
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
        orders = [np.argsort(-column, kind="stable") for column in scores.T]
        for price in _PRICES:
            levels = _ascend(scores, correct, orders, price, levels)
            yield replace(self, thresholds=tuple(float(_sign(self.rule) * level) for level in levels))

    def trace_scores(self, traces: Traces) -> np.ndarray:
        """See `ScoredPolicy`: `[N, T-1]`, as `score_step` gives them one by one.

        Raises:
            InputError: without thresholds, or for traces of another T.
        """
        if traces.timesteps > 1 and len(self._checked()) != traces.timesteps - 1:
            raise InputError(f"Expected traces of T = {len(self.thresholds) + 1}, got {traces.timesteps}.")
        scores: np.ndarray = scores_of(self.rule, traces) - _sign(self.rule) * np.array(self.thresholds)
        return scores

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: how far the rule's score is above this timestep's threshold."""
        return self.score_step(observation, None, None)[0]

    def score_step(
        self, observation: np.ndarray, state: Any, episode_start: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`; the state is the rule's."""
        T = len(self._checked()) + 1
        timestep = np.rint(elapsed_of(observation, self.observation) * T).astype(np.int64)
        wanted = np.append(np.array(self.thresholds), 0.0)[np.minimum(timestep, T) - 1]
        scores, state = step_scores(self.rule, observation, state, episode_start)
        return scores - _sign(self.rule) * wanted, state

    def _checked(self) -> tuple[float, ...]:
        if not self.thresholds:
            raise InputError("Expected a PerTimestep rule with thresholds, got none: calibrate it first.")
        return self.thresholds

    @check_kinds
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


def _ascend(
    scores: np.ndarray, correct: np.ndarray, orders: list[np.ndarray], price: float, levels: np.ndarray
) -> np.ndarray:
    """The best levels `[T-1]` from given ones on, of scores `[N, T-1]` with the descending order `[N]` of each column.

    A sweep goes back in time, so that what rows get by going on is known from the timestep after, and which rows
    arrive is still as it was before the sweep: it takes O(N T) steps.
    """
    N, T = correct.shape
    levels = levels.copy()
    worth = np.ascontiguousarray((correct - price * np.arange(1, T + 1)).T)
    columns = np.ascontiguousarray(scores.T)
    best_value = -np.inf
    for _ in range(_SWEEPS):
        arrives = np.empty((T, N), bool)
        arrives[0] = True
        for t in range(T - 1):
            np.logical_and(arrives[t], columns[t] < levels[t], out=arrives[t + 1])
        goes_on = worth[T - 1]
        for t in reversed(range(T - 1)):
            order = orders[t][arrives[t][orders[t]]]
            gains = np.concatenate([[0.0], np.cumsum(worth[t][order] - goes_on[order])])
            ranked = columns[t][order]
            distinct = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])[: len(gains)]
            gains[~distinct] = -np.inf
            count = int(gains.argmax())
            above = ranked[count - 1] if count else np.inf
            below = ranked[count] if count < len(ranked) else -np.inf
            levels[t] = _between(below, above)
            goes_on = np.where(columns[t] >= levels[t], worth[t], goes_on)
        value = goes_on.mean()
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
