"""The policies of a comparison as curves of accuracy over mean timesteps, each with one colour and one marker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.calibration.curve import exit_curve
from agents.comparison.result import Comparison, Row
from agents.rules.score import ScoredPolicy
from seenn_env import Traces

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Distinct under deuteranopia too (Okabe and Ito 2008), on white and on black."""
MARKERS = "osD^vPX"
"""Seven, so that the pairs of colour and marker repeat after 42 policies only."""
DASHES = ("-", "--", ":", "-.")
GREY = "#888888"


@dataclass(frozen=True)
class PolicyCurve:
    """One policy at all its targets."""

    name: str
    kind: str
    """As in `Row.kind`."""
    rows: tuple[Row, ...]
    """In ascending mean timesteps."""
    line: np.ndarray
    """`[P, 2]` mean timesteps and accuracy (a fraction): its rows; for a policy with one target, all its levels."""
    color: str = GREY
    marker: str = "x"
    dash: str = "-"


def policy_curves(comparison: Comparison, members: Mapping[str, Sequence[Any]], traces: Traces) -> list[PolicyCurve]:
    """A curve for each policy, in the order of the comparison."""
    families: dict[str, list[Row]] = {}
    for row in comparison.rows:
        families.setdefault(row.family, []).append(row)
    curves = []
    styled = 0
    for name, rows in families.items():
        rows.sort(key=lambda row: row.mean_timesteps)
        line = np.array([(row.mean_timesteps, row.accuracy.estimate) for row in rows])
        style = {}
        if rows[0].kind != "reference":
            dash = DASHES[styled // len(COLORS) % len(DASHES)]
            style = {
                "color": COLORS[styled % len(COLORS)],
                "marker": MARKERS[styled % len(MARKERS)],
                "dash": dash,
            }
            styled += 1
            if len(rows) == 1 and all(isinstance(policy, ScoredPolicy) for policy in members[rows[0].name]):
                line = mean_curve(members[rows[0].name], traces)
        curves.append(PolicyCurve(name, rows[0].kind, tuple(rows), line, **style))
    return curves


def mean_curve(policies: Sequence[ScoredPolicy], traces: Traces) -> np.ndarray:
    """`[P, 2]` mean timesteps and accuracy of a policy at all its levels, as means over its seeds."""
    at = np.linspace(1, traces.timesteps, 400)
    curves = [exit_curve(policy, traces) for policy in policies]
    mean = np.mean([np.interp(at, curve.mean_timesteps, curve.accuracy) for curve in curves], axis=0)
    return np.stack([at, mean], 1)
