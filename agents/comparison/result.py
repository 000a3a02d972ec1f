"""The result of a comparison: rows, differences, the table."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from agents.comparison.bootstrap import DifferenceInterval, Interval
from backbones.errors import counted, unknown_name
from backbones.one_line import one_line

_USES = {
    "train": "the backbone's weights",
    "policy": "the weights of learned policies",
    "calibration": "thresholds and settings",
}
"""Choices that each split is for."""


def family_of(name: str) -> str:
    """A policy's name without its target: "PPO" of "PPO @ 1.5"."""
    return name.split(" @ ")[0]


def run_name(family: str) -> str:
    """A policy's name as the name of a folder, of its run of TensorBoard."""
    return "".join(letter if letter.isalnum() or letter in " ()-_.,=+" else "_" for letter in family)


@dataclass(frozen=True)
class Row:
    """One policy on the rows of the traces, over all its seeds."""

    name: str
    """Of the policy, with " @ " and the target where it has several."""
    kind: str
    """"rule" (a threshold), "learned", or "reference" (fixed, random, or in hindsight)."""
    seeds: int
    accuracy: Interval
    """A fraction; the interval is over samples."""
    mean_timesteps: float
    exit_shares: np.ndarray
    """`[T]` fraction of rows that exit at each timestep."""
    accuracy_of_seeds: tuple[float, ...]
    timesteps_of_seeds: tuple[float, ...]
    energy_pj: float | None = None
    """Mean energy of an image; None for traces without energy."""

    @property
    def family(self) -> str:
        """The policy without its target."""
        return family_of(self.name)

    @property
    def target(self) -> float | None:
        """The mean timesteps that the policy was calibrated to, by its name; None without any."""
        try:
            return float(self.name.partition(" @ ")[2])
        except ValueError:
            return None

    __repr__ = one_line


@dataclass(frozen=True)
class Difference:
    """A policy's accuracy minus a rival's at the same mean timesteps."""

    policy: str
    rival: str
    interval: DifferenceInterval
    """Its p-value is of this difference alone."""
    adjusted_p: float = 1.0
    """For all differences of the comparison together, by `max_t`; at least 1 / (resamples + 1)."""


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    split: str
    dataset: str
    samples: int
    timesteps: int
    resamples: int
    """R of the bootstrap."""
    reference: str | None = None
    """The family of the rule with the best accuracy on these rows, over all mean timesteps of the comparison."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Fingerprint of the backbone, seed of the bootstrap, versions."""

    def __repr__(self) -> str:
        names = ", ".join(row.name for row in self.rows)
        return f"Comparison({self.dataset}, split {self.split}, {counted(self.samples, 'sample')}: {names})"

    def __getitem__(self, name: str) -> Row:
        rows = {row.name: row for row in self.rows}
        if not isinstance(name, str) or name not in rows:
            raise unknown_name("policy of the comparison", name, rows)
        return rows[name]

    @property
    def caution(self) -> str | None:
        """The reason for which accuracies on these rows are too high; None on rows of split "test" alone."""
        used = [_USES[split] for split in self.split.split("+") if split in _USES]
        if not used:
            return None
        choices = " and ".join(used)
        return f"Rows of split {self.split} chose {choices}: accuracies on them are too high, so compare on split test."

    def differences_from(self, family: str | None) -> list[Difference]:
        """The differences whose rival is of that family."""
        return [each for each in self.differences if family_of(each.rival) == family]

    def difference(self, policy: str) -> Difference | None:
        """The difference of a policy from the reference, if there is one."""
        return next((each for each in self.differences_from(self.reference) if each.policy == policy), None)

    def table(self) -> str:
        """The comparison as text."""
        width = max(len(row.name) for row in self.rows)
        metered = all(row.energy_pj is not None for row in self.rows)
        energy = "  energy nJ" if metered else ""
        head = f"{'policy':<{width}}  accuracy % [95 %]       timesteps{energy}  exits at t = 1…{self.timesteps} (%)"
        lines = [f"{self.dataset}, split {self.split}, {counted(self.samples, 'sample')}", head, "-" * (len(head) + 8)]
        for row in self.rows:
            a = row.accuracy
            shares = " ".join(f"{100 * share:3.0f}" for share in row.exit_shares)
            interval = f"{100 * a.estimate:6.2f} [{100 * a.low:5.1f}, {100 * a.high:5.1f}]"
            energy = f"  {row.energy_pj / 1000:9.4g}" if metered and row.energy_pj is not None else ""
            lines.append(f"{row.name:<{width}}  {interval}  {row.mean_timesteps:9.3f}{energy}  {shares}")
        if self.differences:
            floor = f"{1 / (self.resamples + 1):.1g}"
            title = "accuracy difference at equal mean timesteps, points [95 %], p"
            lines += ["", f"{title} (max-t over all {len(self.differences)}, not below {floor})"]
        lines += [f"{d.policy} - {d.rival}: {d.interval.points()}  {d.adjusted_p:.4f}" for d in self.differences]
        if self.caution is not None:
            lines += ["", self.caution]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content."""
        facts = {**asdict(self), "caution": self.caution}
        for row in facts["rows"]:
            row["exit_shares"] = row["exit_shares"].tolist()
        for difference in facts["differences"]:
            difference |= difference.pop("interval")
        return facts
