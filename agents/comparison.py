"""Policies side by side on the same rows: a table, paired differences, a picture, TensorBoard.

comparison = compare({"confidence": rule, "PPO": [seed0, seed1, seed2]}, traces, log_dir="runs/compare")
print(comparison.table())
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, Margin
from agents.statistics import Clusters, Interval, mean_interval, paired_difference
from backbones import InputError
from seenn_env import Evaluation, Policy, Traces, evaluate


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


@dataclass(frozen=True)
class Difference:
    """A policy's accuracy less a rival's at the same mean timesteps."""

    policy: str
    rival: str
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    split: str
    dataset: str
    samples: int
    timesteps: int

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def table(self) -> str:
        """The comparison as text."""
        width = max(len(row.name) for row in self.rows)
        head = f"{'policy':<{width}}  accuracy % [95 %]       timesteps  exits at t = 1…{self.timesteps} (%)"
        lines = [f"{self.dataset}, split {self.split}, {self.samples} samples", head, "-" * (len(head) + 8)]
        for row in self.rows:
            a = row.accuracy
            shares = " ".join(f"{100 * share:3.0f}" for share in row.exit_shares)
            interval = f"{100 * a.estimate:6.2f} [{100 * a.low:5.1f}, {100 * a.high:5.1f}]"
            lines.append(f"{row.name:<{width}}  {interval}  {row.mean_timesteps:9.3f}  {shares}")
        if self.differences:
            lines += ["", "accuracy difference at equal mean timesteps, points [95 %]"]
        for d in self.differences:
            i = d.interval
            points = f"{100 * i.estimate:+.2f} [{100 * i.low:+.2f}, {100 * i.high:+.2f}]"
            lines.append(f"{d.policy} - {d.rival}: {points}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content."""

        def interval(i: Interval) -> dict[str, float]:
            return {"estimate": i.estimate, "low": i.low, "high": i.high}

        return {
            "dataset": self.dataset,
            "split": self.split,
            "samples": self.samples,
            "timesteps": self.timesteps,
            "rows": [
                {
                    "name": row.name,
                    "seeds": row.seeds,
                    "accuracy": interval(row.accuracy),
                    "mean_timesteps": row.mean_timesteps,
                    "exit_shares": row.exit_shares.tolist(),
                    "accuracy_of_seeds": list(row.accuracy_of_seeds),
                    "timesteps_of_seeds": list(row.timesteps_of_seeds),
                }
                for row in self.rows
            ],
            "differences": [{"policy": d.policy, "rival": d.rival, **interval(d.interval)} for d in self.differences],
        }


def compare(
    policies: Mapping[str, Any],
    traces: Traces,
    *,
    rivals: Sequence[str] | None = None,
    log_dir: str | Path | None = None,
    seed: int = 0,
) -> Comparison:
    """Evaluate policies on the same rows, exactly, and compare learned ones with rules at equal timesteps.

    Args:
        policies: by name; a list is one policy over several seeds.
        traces: the rows, usually of split "test": nothing is chosen here.
        rivals: names of the rules that learned policies are compared with; of each kind of rule, the one
            that spends most nearly the same stands for it. By default all threshold rules.
        log_dir: folder for the table, the picture, JSON and TensorBoard.
        seed: of the bootstrap.

    Raises:
        InputError: for no policies, rivals that are not among them or have no score.
    """
    if not policies:
        raise InputError("Expected at least one policy to compare, got none.")
    clusters = Clusters(traces.sample, seed=seed)
    members = {name: list(given) if isinstance(given, Sequence) else [given] for name, given in policies.items()}
    results = {name: [evaluate(p, traces) for p in group] for name, group in members.items()}
    rows = tuple(_row(name, found, clusters) for name, found in results.items())
    spent = {row.name: row.mean_timesteps for row in rows}
    if rivals is None:
        rivals = [name for name, group in members.items() if is_rule(group[0])]
    for name in rivals:
        if name not in members or not isinstance(members[name][0], ScoredPolicy):
            raise InputError(f"Expected rivals to be policies with a score among {list(members)}, got {name!r}.")
    differences = []
    for name, group in members.items():
        if is_rule(group[0]) or not isinstance(group[0], ScoredPolicy):
            continue
        nearest: dict[str, str] = {}
        for rival in sorted(rivals, key=lambda rival: abs(spent[rival] - spent[name])):
            nearest.setdefault(kind_of(members[rival][0]), rival)
        for rival in nearest.values():
            found = paired_difference(results[name], members[rival][0], traces, clusters)
            differences.append(Difference(name, rival, found))
    comparison = Comparison(
        rows=rows,
        differences=tuple(differences),
        split=traces.split,
        dataset=str(traces.info.get("dataset", "unnamed data")),
        samples=clusters.count,
        timesteps=traces.timesteps,
    )
    if log_dir is not None:
        from agents.report import write_report

        write_report(comparison, members, traces, Path(log_dir))
    return comparison


def is_rule(policy: Policy | Any) -> bool:
    """A threshold rule, as opposed to something learned."""
    return isinstance(policy, Confidence | Entropy | Margin | PerTimestep)


def kind_of(policy: Any) -> str:
    """The kind of a rule, whatever its threshold: "Margin", "PerTimestep(Margin)"."""
    if isinstance(policy, PerTimestep):
        return f"PerTimestep({type(policy.rule).__name__})"
    return type(policy).__name__


def _row(name: str, results: list[Evaluation], clusters: Clusters) -> Row:
    correct = np.mean([result.correct for result in results], axis=0)
    counts = np.sum([result.exit_counts for result in results], axis=0)
    return Row(
        name=name,
        seeds=len(results),
        accuracy=mean_interval(correct, clusters),
        mean_timesteps=float(np.mean([result.mean_timesteps for result in results])),
        exit_shares=counts / counts.sum(),
        accuracy_of_seeds=tuple(result.accuracy for result in results),
        timesteps_of_seeds=tuple(result.mean_timesteps for result in results),
    )
