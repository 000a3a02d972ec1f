"""Targets of calibration: mean timesteps, energy or other costs, or an accuracy at the least cost.

Letters: N rows, T timesteps, M levels of a curve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.calibration.costs import energy_costs, measured_costs
from agents.calibration.curve import Curve
from backbones import InputError
from backbones.errors import counted
from seenn_env import Traces


@dataclass(frozen=True)
class Target:
    """One number to reach on a curve."""

    name: str
    """As an argument of `calibrate`."""
    value: float
    costs: Callable[[Any], np.ndarray | None]
    """`[N, T]` costs of a policy's exits; None counts timesteps."""
    accuracy: bool = False
    """Whether the value is an accuracy; else it is a mean cost."""

    def entry(self, curve: Curve) -> int:
        """The entry nearest in cost, or the cheapest with the accuracy (the most accurate where none has it)."""
        if not self.accuracy:
            return int(np.abs(curve.mean_cost - self.value).argmin())
        enough = curve.accuracy >= self.value
        return int(enough.argmax()) if enough.any() else int(curve.accuracy.argmax())

    def rank(self, curve: Curve, entry: int) -> tuple[float, float]:
        """The key by which policies are compared at an entry of their curves: the larger, the better."""
        if not self.accuracy:
            return -self._distance(curve, entry), float(curve.accuracy[entry])
        return float(min(curve.accuracy[entry], self.value)), -float(curve.mean_cost[entry])

    def bracket(self, curve: Curve) -> tuple[int, int, float]:
        """Two neighbouring entries around the value, and the share of the second that meets it on average."""
        values = curve.accuracy if self.accuracy else curve.mean_cost
        above = np.flatnonzero(values >= self.value)
        second = int(above[0]) if len(above) else int(values.argmax())
        first = max(second - 1, 0)
        gap = float(values[second] - values[first])
        share = float(np.clip((self.value - values[first]) / gap, 0, 1)) if gap > 0 else 1.0
        return first, second, share

    def missed(self, curve: Curve, entry: int, name: str) -> str | None:
        """A sentence for an entry of that policy's curve that is the nearest to the value, but not near it."""
        if self._distance(curve, entry) == 0:
            return None
        reached = curve.accuracy if self.accuracy else curve.mean_cost
        why = "no level is that accurate" if self.accuracy else "rows with equal scores exit together"
        return (
            f"Expected a {self.name} that {name} can reach on {counted(curve.rows, 'row')}, got {self.value:g} "
            f"({why}): the nearest, {reached[entry]:.4g}, is taken."
        )

    def _distance(self, curve: Curve, entry: int) -> float:
        """From the value; 0 where that is nearly met: by 10 % of a cost beyond the least, or by one row's part."""
        if self.accuracy:
            return max(self.value - float(curve.accuracy[entry]), 0.0)
        distance = abs(float(curve.mean_cost[entry]) - self.value)
        one_row = float(np.ptp(curve.mean_cost)) / curve.rows
        return distance if distance > max(0.1 * (self.value - float(curve.mean_cost.min())), one_row) else 0.0


def make_target(traces: Traces, targets: dict[str, float | None], costs: Any) -> Target:
    """The target that is not None, by its name as an argument of `calibrate`; an `InputError` for none or several of
    them, a target out of range, or costs that are missing.
    """
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        raise InputError(f"Expected exactly one of {', '.join(targets)}, got {', '.join(given) or 'none'}.")
    [(name, value)] = given.items()
    if name == "target_timesteps":
        check_target_timesteps(value, traces)
        return Target(name, value, lambda policy: None)
    if name == "target_accuracy":
        if not 0 < value <= 1:
            raise InputError(f"Expected target_accuracy in (0, 1], a fraction, got {value}.")
        return Target(name, value, lambda policy: None, accuracy=True)
    if name == "target_energy_pj":
        _check_cost(name, value, energy_costs(None, traces))
        return Target(name, value, lambda policy: energy_costs(policy, traces))
    if costs is None:
        raise InputError("Expected costs with target_cost, [T] or [N, T] of exits at each timestep, got none.")
    measured = measured_costs(costs, traces)
    _check_cost(name, value, measured)
    return Target(name, value, lambda policy: measured)


def check_target_timesteps(target: float | None, traces: Traces) -> None:
    """Raise an `InputError` for a target that is no mean timesteps of these traces."""
    if target is not None and not 1 <= target <= traces.timesteps:
        raise InputError(f"Expected target_timesteps from 1 to T = {traces.timesteps}, got {target}.")


def _check_cost(name: str, target: float, costs: np.ndarray) -> None:
    low, high = costs[:, 0].mean(), costs[:, -1].mean()
    if not low <= target <= high:
        raise InputError(
            f"Expected {name} between the mean costs of timestep 1 and of all, {low:g} and {high:g}, got {target}."
        )
