"""What calibration aims at: so much time, energy or other cost, or so much accuracy at the least cost.

Letters: N rows, T timesteps, M levels of a curve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.calibration.costs import energy_costs, measured_costs
from agents.calibration.curve import Curve
from backbones import InputError
from seenn_env import Traces


@dataclass(frozen=True)
class Goal:
    """One number to reach on a curve."""

    target: float
    costs: Callable[[Any], np.ndarray | None]
    """`[N, T]` what exits of a policy cost; None counts timesteps."""
    accuracy: bool = False
    """The target is an accuracy; else a mean cost."""

    def reached(self, curve: Curve) -> np.ndarray:
        """`[M]` how much of what is aimed at there is at each level."""
        return curve.accuracy if self.accuracy else curve.mean_cost

    def entry(self, curve: Curve) -> int:
        """The level to take: nearest in cost, or the cheapest with the accuracy (where none has, the most accurate)."""
        if not self.accuracy:
            return int(np.abs(curve.mean_cost - self.target).argmin())
        enough = curve.accuracy >= self.target
        return int(enough.argmax()) if enough.any() else int(curve.accuracy.argmax())

    def worth(self, curve: Curve, entry: int) -> tuple[float, float]:
        """What makes one policy better than another: the larger, the better."""
        if not self.accuracy:
            return float(curve.accuracy[entry]), 0.0
        return float(min(curve.accuracy[entry], self.target)), -float(curve.mean_cost[entry])

    def bracket(self, curve: Curve) -> tuple[int, int, float]:
        """Two levels next to each other about the target, and the share of the second that meets it on average."""
        reached = self.reached(curve)
        above = np.flatnonzero(reached >= self.target)
        second = int(above[0]) if len(above) else len(reached) - 1
        first = max(second - 1, 0)
        gap = float(reached[second] - reached[first])
        share = float(np.clip((self.target - reached[first]) / gap, 0, 1)) if gap > 0 else 1.0
        return first, second, share


def make_goal(
    traces: Traces,
    *,
    target_timesteps: float | None,
    target_accuracy: float | None,
    target_energy_pj: float | None,
    target_cost: float | None,
    costs: Any,
) -> Goal:
    """The goal that is not None.

    Raises:
        InputError: for none or several of them, a target out of range, or costs that are missing.
    """
    given = {
        "target_timesteps": target_timesteps,
        "target_accuracy": target_accuracy,
        "target_energy_pj": target_energy_pj,
        "target_cost": target_cost,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise InputError(f"Expected exactly one of {', '.join(given)}, got {', '.join(named) or 'none'}.")
    T = traces.timesteps
    if target_timesteps is not None:
        if not 1 <= target_timesteps <= T:
            raise InputError(f"Expected target_timesteps from 1 to T = {T}, got {target_timesteps}.")
        return Goal(target_timesteps, lambda policy: None)
    if target_accuracy is not None:
        if not 0 < target_accuracy <= 1:
            raise InputError(f"Expected target_accuracy in (0, 1], a fraction, got {target_accuracy}.")
        return Goal(target_accuracy, lambda policy: None, accuracy=True)
    if target_energy_pj is not None:
        _check_cost("target_energy_pj", target_energy_pj, energy_costs(None, traces))
        return Goal(target_energy_pj, lambda policy: energy_costs(policy, traces))
    if costs is None:
        raise InputError("Expected costs with target_cost, [T] or [N, T] of exits at each timestep, got none.")
    given_costs = measured_costs(costs, traces)
    assert target_cost is not None
    _check_cost("target_cost", target_cost, given_costs)
    return Goal(target_cost, lambda policy: given_costs)


def _check_cost(name: str, target: float, costs: np.ndarray) -> None:
    low, high = costs[:, 0].mean(), costs[:, -1].mean()
    if not low <= target <= high:
        raise InputError(
            f"Expected {name} between the mean costs of timestep 1 and of all, {low:g} and {high:g}, got {target}."
        )
