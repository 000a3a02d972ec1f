"""What a comparison found: rows, differences, the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.comparison.bootstrap import Interval
from backbones.errors import unknown_name
from seenn_env import Evaluation


@dataclass(frozen=True)
class Row:
    """One policy on the rows of the traces; over its seeds where there are several."""

    name: str
    seeds: int
    accuracy: Interval
    """Fraction right; the interval is over samples."""
    mean_timesteps: float
    exit_shares: np.ndarray
    """`[T]` fraction of rows that exit at each timestep."""
    accuracy_of_seeds: tuple[float, ...]
    timesteps_of_seeds: tuple[float, ...]
    energy_pj: float | None = None
    """Mean energy of an image, where the traces have it."""


def mean_energy_pj(results: Sequence[Evaluation]) -> float | None:
    """The mean energy of an image over seeds; None where the traces have none."""
    spent = [energy for result in results if (energy := result.mean_energy_pj) is not None]
    return float(np.mean(spent)) if spent else None


@dataclass(frozen=True)
class Difference:
    """A policy's accuracy less a rival's at the same mean timesteps."""

    policy: str
    rival: str
    interval: Interval
    adjusted_p: float = 1.0
    """For all differences of the comparison at once, by `max_t`; never below 1 / (resamples + 1)."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    split: str
    dataset: str
    samples: int
    timesteps: int
    resamples: int
    """R of the bootstrap."""

    def __getitem__(self, name: str) -> Row:
        rows = {row.name: row for row in self.rows}
        if not isinstance(name, str) or name not in rows:
            raise unknown_name("policy of the comparison", name, rows)
        return rows[name]

    def table(self) -> str:
        """The comparison as text."""
        width = max(len(row.name) for row in self.rows)
        metered = all(row.energy_pj is not None for row in self.rows)
        energy = "  energy nJ" if metered else ""
        head = f"{'policy':<{width}}  accuracy % [95 %]       timesteps{energy}  exits at t = 1…{self.timesteps} (%)"
        lines = [f"{self.dataset}, split {self.split}, {self.samples} samples", head, "-" * (len(head) + 8)]
        for row in self.rows:
            a = row.accuracy
            shares = " ".join(f"{100 * share:3.0f}" for share in row.exit_shares)
            interval = f"{100 * a.estimate:6.2f} [{100 * a.low:5.1f}, {100 * a.high:5.1f}]"
            spent = f"  {row.energy_pj / 1000:9.4g}" if metered and row.energy_pj is not None else ""
            lines.append(f"{row.name:<{width}}  {interval}  {row.mean_timesteps:9.3f}{spent}  {shares}")
        if self.differences:
            floor = f"{1 / (self.resamples + 1):.1g}"
            title = "accuracy difference at equal mean timesteps, points [95 %], p"
            lines += ["", f"{title} (max-t over all {len(self.differences)}, not below {floor})"]
        for d in self.differences:
            i = d.interval
            points = f"{100 * i.estimate:+.2f} [{100 * i.low:+.2f}, {100 * i.high:+.2f}]"
            lines.append(f"{d.policy} - {d.rival}: {points}  {d.adjusted_p:.4f}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content."""

        def interval(i: Interval) -> dict[str, float]:
            return {"estimate": i.estimate, "low": i.low, "high": i.high, "p_value": i.p_value}

        return {
            "dataset": self.dataset,
            "split": self.split,
            "samples": self.samples,
            "timesteps": self.timesteps,
            "resamples": self.resamples,
            "rows": [
                {
                    "name": row.name,
                    "seeds": row.seeds,
                    "accuracy": interval(row.accuracy),
                    "mean_timesteps": row.mean_timesteps,
                    "exit_shares": row.exit_shares.tolist(),
                    "accuracy_of_seeds": list(row.accuracy_of_seeds),
                    "timesteps_of_seeds": list(row.timesteps_of_seeds),
                    "energy_pj": row.energy_pj,
                }
                for row in self.rows
            ],
            "differences": [
                {"policy": d.policy, "rival": d.rival, **interval(d.interval), "adjusted_p": d.adjusted_p}
                for d in self.differences
            ],
        }
