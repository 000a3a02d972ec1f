"""A comparison in TensorBoard: each policy is a run, and all policies share the tags.

The step of a scalar is 1,000 × mean timesteps. `LAYOUT` is the layout of the tab "Custom scalars".
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from agents.comparison.bootstrap import DifferenceInterval
from agents.comparison.report.curves import PolicyCurve
from agents.comparison.report.figure import draw
from agents.comparison.report.pictures import draw_answer, draw_exits, draw_reliability, image_grid, images_by_exit
from agents.comparison.report.provenance import facts_of, policy_facts
from agents.comparison.result import Comparison, run_name
from agents.learners.learning_curve import write_hparams
from agents.rules.score import ScoredPolicy
from backbones.event_log import WHOLE, EventLog
from seenn_env import Evaluation, Traces

BAND = {tag: (f"intervals/{tag}_low", f"intervals/{tag}_high") for tag in ("accuracy", "difference_points")}
"""Tags of the ends of the 95 % interval."""

LAYOUT = {
    "comparison, over 1,000 × mean timesteps": {
        "accuracy (%), bands 95 %": ["Margin", ["compare/accuracy", *BAND["accuracy"]]],
        "points over the best rule, bands 95 %": ["Margin", ["compare/difference_points", *BAND["difference_points"]]],
    },
}


def write_tensorboard(
    comparison: Comparison,
    curves: Sequence[PolicyCurve],
    members: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[Evaluation]],
    traces: Traces,
    folder: Path,
) -> None:
    """Write a run for each policy, and the layout at the root; runs of an earlier comparison are deleted."""
    with EventLog(folder) as writer:
        writer.add_custom_scalars(LAYOUT)
        table = "\n".join("    " + line for line in comparison.table().splitlines())
        writer.add_text("table", table)
        facts = facts_of(comparison, traces)
        for curve in curves:
            about = policy_facts(curve, members[curve.rows[0].name])
            facts[curve.name] = ", ".join(f"{key} {value}" for key, value in about.items() if value and key != "curve")
        writer.add_text("provenance", "\n".join(f"- {name}: {value}" for name, value in facts.items()))
        writer.add_figure("answer/more than noise?", draw_answer(comparison, curves))
        writer.add_figure("pictures/curves", draw(comparison, curves))
        writer.add_figure("pictures/exits", draw_exits(comparison, curves))
        writer.add_figure("pictures/reliability", draw_reliability(traces))
    policies = [curve for curve in curves if curve.kind != "reference"] or curves
    last = 1000 * max(row.mean_timesteps for curve in policies for row in curve.rows)
    written = {folder}
    for curve in curves:
        run = f"reference/{run_name(curve.name)}" if curve.kind == "reference" else run_name(curve.name)
        written.add(folder / run)
        with EventLog(folder / run) as writer:
            _write_curve(writer, comparison, curve, results, last)
            if curve.kind != "reference":
                _write_hparams(writer, curve, members[curve.rows[0].name])
                middle = results[curve.rows[len(curve.rows) // 2].name][0]
                for t, rows in images_by_exit(middle, traces).items():
                    writer.add_image(f"images/exit at t = {t}", image_grid(traces, rows))
    for file in list(folder.rglob(WHOLE)):
        if file.parent not in written:
            file.unlink()
            with suppress(OSError):
                file.parent.rmdir()


def _write_curve(
    writer: EventLog,
    comparison: Comparison,
    curve: PolicyCurve,
    results: Mapping[str, Sequence[Evaluation]],
    last: float,
) -> None:
    """Write one run; lines end at the step `last`, so that references do not stretch the axis past the policies."""
    differences = [(row, each.interval) for row in curve.rows if (each := comparison.difference(row.name))]
    if curve.name == comparison.reference:
        differences = [(row, DifferenceInterval(0, 0, 0)) for row in curve.rows]
    for tag, found in (("accuracy", [(row, row.accuracy) for row in curve.rows]), ("difference_points", differences)):
        steps = [1000 * row.mean_timesteps for row, _ in found]
        for name, end in zip((f"compare/{tag}", *BAND[tag]), ("estimate", "low", "high"), strict=True):
            _write_line(writer, name, steps, [100 * getattr(interval, end) for _, interval in found], last)
    aimed = [row for row in curve.rows if row.target is not None and curve.kind != "reference"]
    _write_line(
        writer,
        "compare/mean_timesteps",
        [1000 * (row.target or 0) for row in aimed],
        [row.mean_timesteps for row in aimed],
    )
    for row in curve.rows:
        step = round(1000 * row.mean_timesteps)
        if row.energy_pj is not None:
            writer.add_scalar("compare/energy_nj", row.energy_pj / 1000, step)
        exits = np.concatenate([each.exit_timesteps for each in results[row.name]])
        writer.add_histogram("exits/timestep", exits, step, bins=np.arange(comparison.timesteps + 1) + 0.5)


def _write_line(
    writer: EventLog, tag: str, steps: Sequence[float], values: Sequence[float], last: float = np.inf
) -> None:
    """Scalars at ascending steps up to the last, and every 5 steps between them.

    Linear in between, which is exact for accuracy: a policy that draws one of two targets at random has it.
    TensorBoard's smoothing, on by default, changes a line of three points and hardly one of a hundred.
    """
    if steps:
        at = np.round(steps).astype(int)
        dense = np.union1d(at, np.arange(at[0], at[-1], 5))
        dense = dense[dense <= np.round(last)]
        for step, value in zip(dense, np.interp(dense, at, values), strict=True):
            writer.add_scalar(tag, value, step)


def _write_hparams(writer: EventLog, curve: PolicyCurve, policies: Sequence[Any]) -> None:
    """One row of the tab "HParams": the policy's settings, its accuracy (%) and mean timesteps at each target."""
    policy, about = policies[0], policy_facts(curve, policies)
    facts = {
        "policy": curve.name,
        "kind": curve.kind,
        **{name: str(about[name]) for name in ("algorithm", "observation", "reward")},
        "training_steps": float(getattr(policy, "settings", {}).get("total_timesteps", 0)),
        "seeds": float(len(policies)),
        "macs_per_decision": float(policy.macs) if isinstance(policy, ScoredPolicy) else 0.0,
    }
    metrics: dict[str, float] = {}
    for row in curve.rows:
        at = "" if row.target is None else f"_at_{row.target:g}"
        metrics |= {f"hparam/accuracy{at}": 100 * row.accuracy.estimate, f"hparam/timesteps{at}": row.mean_timesteps}
    write_hparams(writer, facts, metrics)
