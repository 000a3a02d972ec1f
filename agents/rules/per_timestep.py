"""Thresholds per timestep, fitted by coordinate ascent.

    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.5)

Letters: B rows, N rows of the traces, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.rules.score import ScoredPolicy, delegated, timestep_of
from backbones import InputError
from backbones.argument_checks import check_fields, check_kinds
from backbones.one_line import one_line
from backbones.tensors import numbers
from seenn_env import Traces

_PRICES = np.geomspace(3e-4, 0.3, 28)
"""Prices of a timestep, in accuracy, at which thresholds are fitted."""
_SWEEPS = 20
"""Of coordinate ascent, at most."""


@dataclass(frozen=True)
class PerTimestep(ScoredPolicy):
    """Exits at timestep t when the rule's score is at least that of `thresholds[t-1]`, t = 1…T-1.

    Args:
        rule: any policy with a score; its own threshold is unused.
        thresholds: `[T-1]` in the rule's units; empty before `calibrate` has fitted them.
        shift: added to the threshold of every timestep, in units of the score.
    """

    rule: ScoredPolicy
    thresholds: tuple[float, ...] = ()
    shift: float = 0.0

    __repr__ = one_line
    observation = delegated("rule", "observation")
    settings = delegated("rule", "settings")
    macs = delegated("rule", "macs")
    fitted = delegated("rule", "fitted")

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if self.thresholds and self.rule.made_for not in (None, self.made_for):
            raise InputError(
                f"Expected thresholds for the {self.rule.made_for} timesteps of the rule, got those for "
                f"{self.made_for}: calibrate it on its own traces."
            )

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.shift

    @property
    def made_for(self) -> int | None:
        """See `ScoredPolicy.made_for`; None before `calibrate`."""
        return len(self.thresholds) + 1 if self.thresholds else None

    def fit(self, traces: Traces) -> "PerTimestep":
        """The policy with its rule fitted; `variants` fits the thresholds."""
        return replace(self, rule=self.rule.fit(traces))

    def variants(self, traces: Traces) -> Iterator["PerTimestep"]:
        """The best thresholds on these traces, by coordinate ascent, at each of 28 prices of a timestep.

        The objective is accuracy - price · mean timesteps: with the other thresholds fixed, sorting gives the exact
        optimum of one.
        """
        scores, correct = numbers(self.rule.trace_scores(traces), "scores", "NT"), traces.correct
        levels = np.full(scores.shape[1], np.median(scores) if scores.size else 0.0)
        orders = [np.argsort(-column, kind="stable") for column in scores.T]
        for price in _PRICES:
            levels = _ascend(scores, correct, orders, price, levels)
            yield replace(self, thresholds=tuple(float(self.rule.sign * level) for level in levels))

    def trace_scores(self, traces: Traces) -> np.ndarray:
        """See `ScoredPolicy`: those of `score_step`. An `InputError` without thresholds, or for another T."""
        if traces.timesteps > 1 and len(self._checked()) != traces.timesteps - 1:
            raise InputError(f"Expected traces of T = {len(self.thresholds) + 1}, got {traces.timesteps}.")
        return self.rule.trace_scores(traces) - self.rule.sign * np.array(self.thresholds)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the rule's score minus the threshold of the timestep."""
        return self.score_step(observation)[0]

    def score_step(
        self, observation: np.ndarray, state: Any = None, episode_start: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`; the state is the rule's."""
        T = len(self._checked()) + 1
        timestep = timestep_of(observation, self.observation, T)
        thresholds = np.append(self.thresholds, 0.0)[np.minimum(timestep, T) - 1]
        scores, state = self.rule.score_step(observation, state, episode_start)
        return scores - self.rule.sign * thresholds, state

    def _checked(self) -> tuple[float, ...]:
        if not self.thresholds:
            raise InputError("Expected a PerTimestep rule with thresholds, got none: calibrate it first.")
        return self.thresholds

    @check_kinds
    def at_level(self, level: float) -> "PerTimestep":
        """See `ScoredPolicy.at_level`."""
        return replace(self, shift=float(level))

    def score_module(self, timesteps: int) -> nn.Module:
        """See `ScoredPolicy.score_module`."""
        return _AboveThresholds(self.rule.score_module(timesteps), self.rule.sign * np.append(self.thresholds, 0.0))


class _AboveThresholds(nn.Module):
    levels: Tensor

    def __init__(self, score: nn.Module, levels: np.ndarray) -> None:
        super().__init__()
        self.score = score
        self.register_buffer("levels", torch.from_numpy(levels))

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        return self.score(columns, at) - self.levels[at]


def _ascend(
    scores: np.ndarray, correct: np.ndarray, orders: list[np.ndarray], price: float, levels: np.ndarray
) -> np.ndarray:
    """Coordinate ascent from levels `[T-1]`, on scores `[N, T-1]` with the descending order `[N]` of each column.

    A sweep runs backwards in time: the value of continuing is known from the timestep after, and the rows that reach
    a timestep are still those before the sweep. It takes O(N T) steps.
    """
    N, T = correct.shape
    levels = levels.copy()
    worth = np.ascontiguousarray((correct - price * np.arange(1, T + 1)).T)
    columns = np.ascontiguousarray(scores.T)
    best_value = -np.inf
    for _ in range(_SWEEPS):
        reaches = np.empty((T, N), bool)
        reaches[0] = True
        for t in range(T - 1):
            np.logical_and(reaches[t], columns[t] < levels[t], out=reaches[t + 1])
        continues = worth[T - 1]
        for t in reversed(range(T - 1)):
            order = orders[t][reaches[t][orders[t]]]
            gains = np.concatenate([[0.0], np.cumsum(worth[t][order] - continues[order])])
            ranked = columns[t][order]
            distinct = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])[: len(gains)]
            gains[~distinct] = -np.inf
            count = int(gains.argmax())
            above = ranked[count - 1] if count else np.inf
            below = ranked[count] if count < len(ranked) else -np.inf
            levels[t] = _between(below, above)
            continues = np.where(columns[t] >= levels[t], worth[t], continues)
        value = continues.mean()
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
