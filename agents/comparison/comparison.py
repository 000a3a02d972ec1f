"""Comparison of policies on the same rows: a table, paired differences, a figure, TensorBoard.

comparison = compare({"confidence": rule, "PPO": [seed0, seed1, seed2]}, traces, log_dir="runs/compare")
print(comparison.table())
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.calibration.randomised import Mixed
from agents.comparison.bootstrap import Clusters, DifferenceInterval, mean_interval
from agents.comparison.matched_accuracy import paired_draws
from agents.comparison.multiple_comparisons import max_t
from agents.comparison.result import Comparison, Difference, Row, family_of, run_name
from agents.policies import RULE_KINDS
from agents.rules.per_timestep import PerTimestep
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import FixedTimestep, Uniform
from backbones import InputError
from backbones.argument_checks import Natural, check_kinds
from backbones.errors import check_printable, refusing, unknown_name
from seenn_env import Evaluation, Policy, Traces, evaluate
from seenn_env.evaluation import check_trained_for, decides, evaluated_rows
from seenn_env.observations import AnyObservation

_LONGEST_NAME = 200
"""Bytes of a policy's name, at most."""


@check_kinds
def compare(
    policies: Mapping[str, Any],
    traces: Traces,
    *,
    split: str | None = None,
    observation: AnyObservation | Mapping[str, AnyObservation] | None = None,
    rivals: Sequence[str] | None = None,
    log_dir: str | Path | None = None,
    seed: Natural = 0,
    progress: bool = False,
) -> Comparison:
    """Evaluate policies on the same rows, exactly, and compare learned ones with rules at equal timesteps.

    Args:
        policies: by name; a list is one policy over several seeds.
        traces: the rows, usually of split "test".
        split: of the rows (default: "test", where the traces have several); the table names it.
        observation: of policies without one of their own (bare SB3 models), for all or by name.
        rivals: names of the rules that learned policies are compared with (default: all threshold rules). The rule
            with the nearest mean timesteps represents its kind.
        log_dir: folder for the table, the figure, JSON and TensorBoard.
        seed: of the bootstrap.
        progress: show a running line: policies evaluated, rivals resampled, the report.

    Raises:
        InputError: for no policies, several of one name that are no seeds of one policy, one trained for another T or
            backbone, rivals or observations of unknown policies, rivals without a score, or several splits without
            "test".
    """
    if log_dir is not None and Path(log_dir).exists() and not Path(log_dir).is_dir():
        raise InputError(f"Expected a folder for the report, got the file {log_dir}: choose another.")
    members = {name: list(group) if isinstance(group, list | tuple) else [group] for name, group in policies.items()}
    if not members or not all(members.values()):
        raise InputError("Expected at least one policy to compare, got none.")
    check_members(members)
    traces = evaluated_rows(traces, split)
    observations = observation if isinstance(observation, Mapping) else dict.fromkeys(policies, observation)
    for name in observations:
        if name not in policies:
            raise unknown_name("policy of observation", name, policies)
    clusters = Clusters(traces.sample, seed=seed)
    for policy in (policy for group in members.values() for policy in group):
        check_trained_for(policy, traces)
    line: dict[str, Any] = {"leave": False, "disable": not progress}
    results = {
        name: [evaluate(p, traces, observation=observations.get(name)) for p in group]
        for name, group in tqdm(members.items(), desc="evaluate", unit="policy", **line)
    }
    rows = tuple(_row(name, _role(members[name][0]), each, clusters) for name, each in results.items())
    mean_timesteps = {row.name: row.mean_timesteps for row in rows}
    if rivals is None:
        rivals = [name for name, group in members.items() if is_rule(group[0])]
    for name in rivals:
        if name not in members:
            raise unknown_name("policy as a rival", name, members)
        if not isinstance(members[name][0], ScoredPolicy):
            raise InputError(f"Expected rivals to be policies with a score, got {name!r}: choose a rule.")
    reference = _best_family([row for row in rows if row.name in rivals])
    pairs = []
    for row in rows:
        if row.kind == "reference" or not isinstance(members[row.name][0], ScoredPolicy):
            continue
        nearest: dict[str, str] = {}
        for rival in sorted(rivals, key=lambda rival: abs(mean_timesteps[rival] - row.mean_timesteps)):
            nearest.setdefault(kind_of(members[rival][0]), rival)
        if row.kind == "rule":
            own = kind_of(members[row.name][0])
            nearest = {kind: r for kind, r in nearest.items() if kind != own and family_of(r) == reference}
        pairs += [(row.name, rival) for rival in nearest.values()]
    found: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
    for rival in tqdm({rival: None for _, rival in pairs}, desc="bootstrap", unit="rival", **line):
        names = [name for name, other in pairs if other == rival]
        drawn = paired_draws([results[name] for name in names], members[rival][0], traces, clusters)
        found |= {(name, rival): each for name, each in zip(names, drawn, strict=True)}
    estimates, draws = [found[pair][0] for pair in pairs], [found[pair][1] for pair in pairs]
    adjusted = max_t(np.array(estimates), np.stack(draws, 1)) if draws else ()
    differences = tuple(
        Difference(*pair, DifferenceInterval.of(estimate, resampled), float(p))
        for pair, estimate, resampled, p in zip(pairs, estimates, draws, adjusted, strict=True)
    )
    comparison = Comparison(
        rows=rows,
        differences=differences,
        split=traces.split,
        dataset=str(traces.info.get("dataset", "unnamed data")),
        samples=clusters.count,
        timesteps=traces.timesteps,
        resamples=len(clusters.weights),
        reference=reference,
        provenance={
            "fingerprint": traces.info.get("fingerprint"),
            "rows": len(traces),
            "bootstrap_seed": seed,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "versions": {name: version(name) for name in ("seenn-env", "torch", "numpy", "gymnasium")},
        },
    )
    if log_dir is not None:
        with refusing("Expected matplotlib to load", advice=" Unset MPLBACKEND.", errors=(ValueError,)):
            from agents.comparison.report.folder import write_report  # needs matplotlib and TensorBoard

        with tqdm(total=1, desc="report", unit="report", **line):
            write_report(comparison, members, results, traces, Path(log_dir))
    return comparison


def check_members(members: Mapping[str, Sequence[Any]]) -> None:
    """Refuse names that folders cannot have, or two have in common, and policies of one name that are no seeds of one.

    Raises:
        InputError: for such a name, or two kinds, algorithms or observations under one.
    """
    check_printable(members, "names of policies")
    runs: dict[str, str] = {}
    for family in map(family_of, members):
        run = run_name(family)
        if run in ("", ".", "..") or len(run.encode()) > _LONGEST_NAME:
            raise InputError(f"Expected names of policies that folders can have, got {family!r:.40}: rename it.")
        if runs.setdefault(run, family) != family:
            raise InputError(
                f"Expected names of policies that differ as {run!r} too, got {runs[run]!r} and {family!r}."
            )
    for name, group in members.items():
        first, *others = (_trained_as(policy) for policy in group)
        if other := next((other for other in others if other != first), None):
            raise InputError(
                f"Expected the policies of one name to be seeds of one policy, got {first} and {other} as {name!r}: "
                "give each a name of its own."
            )


def _trained_as(policy: Any) -> str:
    """A policy's algorithm, or else its kind, and its observation."""
    settings: dict[str, Any] = getattr(policy, "settings", {})
    made, observation = settings.get("algorithm", kind_of(policy)), getattr(policy, "observation", None)
    return f"{made} on {observation}" if isinstance(observation, str) else str(made)


def _best_family(rows: Sequence[Row]) -> str | None:
    """The family with the highest mean accuracy over the mean timesteps of all the rows; None without rows."""
    at = np.sort([row.mean_timesteps for row in rows])
    means = {}
    for name in {row.family: None for row in rows}:
        points = sorted((row.mean_timesteps, row.accuracy.estimate) for row in rows if row.family == name)
        means[name] = float(np.interp(at, *np.array(points).T).mean())
    return max(means, key=means.__getitem__, default=None)


def is_rule(policy: Policy | Any) -> bool:
    """Whether a policy is a threshold rule, as opposed to a learned one."""
    return isinstance(policy.policy if isinstance(policy, Mixed) else policy, RULE_KINDS)


def _role(policy: Any) -> str:
    """As in `Row.kind`."""
    if is_rule(policy):
        return "rule"
    return "reference" if isinstance(policy, FixedTimestep | Uniform) or decides(policy) == "end" else "learned"


def kind_of(policy: Any) -> str:
    """The kind of a rule without its threshold: "Margin", "PerTimestep(Margin)"."""
    if isinstance(policy, Mixed):
        return kind_of(policy.policy)
    if isinstance(policy, PerTimestep):
        return f"PerTimestep({type(policy.rule).__name__})"
    return type(policy).__name__


def _row(name: str, kind: str, results: list[Evaluation], clusters: Clusters) -> Row:
    correct = np.mean([result.correct for result in results], axis=0)
    counts = np.sum([result.exit_counts for result in results], axis=0)
    energies = [result.mean_energy_pj for result in results if result.mean_energy_pj is not None]
    return Row(
        name=name,
        kind=kind,
        seeds=len(results),
        accuracy=mean_interval(correct, clusters),
        mean_timesteps=float(np.mean([result.mean_timesteps for result in results])),
        exit_shares=counts / counts.sum(),
        accuracy_of_seeds=tuple(result.accuracy for result in results),
        timesteps_of_seeds=tuple(result.mean_timesteps for result in results),
        energy_pj=float(np.mean(energies)) if energies else None,
    )
