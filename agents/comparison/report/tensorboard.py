"""A comparison in TensorBoard: each policy is a run, and all policies share the tags.

The step of a scalar is 1,000 × mean timesteps. `LAYOUT` is the layout of the tab "Custom scalars".
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from agents.comparison.bootstrap import Interval
from agents.comparison.report.curves import PolicyCurve
from agents.comparison.report.figure import draw
from agents.comparison.report.pictures import draw_exits, draw_reliability, image_grid, images_by_exit
from agents.comparison.result import Comparison
from agents.rules.score import ScoredPolicy
from seenn_env import Evaluation, Traces

ENDS = ("", "_low", "_high")
"""Of a tag: the estimate and the ends of its 95 % interval."""


def margin(tag: str) -> list[Any]:
    """A chart of a tag with its interval as a band, one curve a run."""
    return ["Margin", [f"compare/{tag}", f"intervals/{tag}_low", f"intervals/{tag}_high"]]


LAYOUT = {
    "comparison, over 1,000 × mean timesteps": {
        "accuracy (%), bands 95 %": margin("accuracy"),
        "points over the best rule at equal timesteps, bands 95 %": margin("difference_points"),
    },
    "training, evaluated exactly on calibration": {
        "accuracy at the target": ["Multiline", ["eval/accuracy_at_target"]],
        "accuracy": ["Multiline", ["eval/accuracy"]],
        "mean timesteps": ["Multiline", ["eval/mean_timesteps"]],
        "return": ["Multiline", ["eval/return"]],
    },
}


def run_name(name: str) -> str:
    """A policy's name as the name of a folder."""
    return "".join(letter if letter.isalnum() or letter in " ()-_.,=+" else "_" for letter in name)


@contextmanager
def writer_of(folder: Path, run: str = "") -> Iterator[SummaryWriter]:
    """A writer for one run, closed at the end."""
    with SummaryWriter(str(folder / run_name(run) if run else folder)) as writer:
        yield writer


def write_tensorboard(
    comparison: Comparison,
    curves: Sequence[PolicyCurve],
    members: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[Evaluation]],
    traces: Traces,
    folder: Path,
) -> None:
    """Write a run for each policy, and the layout at the root."""
    with writer_of(folder) as writer:
        writer.add_custom_scalars(LAYOUT)
        table = "\n".join("    " + line for line in comparison.table().splitlines())
        writer.add_text("table", table)
        facts = {"dataset": comparison.dataset, "split": comparison.split, "samples": comparison.samples}
        writer.add_text("provenance", "\n".join(f"- {k}: {v}" for k, v in (facts | comparison.provenance).items()))
        writer.add_figure("pictures/curves", draw(comparison, curves))
        writer.add_figure("pictures/exits", draw_exits(comparison, curves))
        writer.add_figure("pictures/reliability", draw_reliability(traces))
    for curve in curves:
        with writer_of(folder, curve.name) as writer:
            _write_curve(writer, comparison, curve, results)
            if curve.kind != "reference":
                _write_hparams(writer, curve, members[curve.rows[0].name])
                middle = results[curve.rows[len(curve.rows) // 2].name][0]
                for t, rows in images_by_exit(middle, traces).items():
                    writer.add_image(f"images/exit at t = {t}", image_grid(traces, rows))


def _write_curve(
    writer: SummaryWriter, comparison: Comparison, curve: PolicyCurve, results: Mapping[str, Sequence[Evaluation]]
) -> None:
    for row in curve.rows:
        step = round(1000 * row.mean_timesteps)
        _add_interval(writer, "accuracy", row.accuracy, step)
        difference = comparison.difference(row.name)
        if difference is not None:
            _add_interval(writer, "difference_points", difference.interval, step)
        elif curve.name == comparison.reference:
            _add_interval(writer, "difference_points", Interval(0, 0, 0), step)
        writer.add_scalar("compare/mean_timesteps", row.mean_timesteps, step)
        if row.energy_pj is not None:
            writer.add_scalar("compare/energy_nj", row.energy_pj / 1000, step)
        exits = np.concatenate([each.exit_timesteps for each in results[row.name]])
        writer.add_histogram("exits/timestep", exits, step, bins=np.arange(comparison.timesteps + 1) + 0.5)


def _add_interval(writer: SummaryWriter, tag: str, interval: Interval, step: int) -> None:
    writer.add_scalar(f"compare/{tag}", 100 * interval.estimate, step)
    writer.add_scalar(f"intervals/{tag}_low", 100 * interval.low, step)
    writer.add_scalar(f"intervals/{tag}_high", 100 * interval.high, step)


def _write_hparams(writer: SummaryWriter, curve: PolicyCurve, policies: Sequence[Any]) -> None:
    """One row of the tab "HParams": the policy's settings, its accuracy (%) and mean timesteps at each target."""
    policy = policies[0]
    settings = dict(getattr(policy, "settings", {}))
    observation = getattr(policy, "observation", "")
    facts = {
        "policy": curve.name,
        "kind": curve.kind,
        "algorithm": str(settings.get("algorithm", type(policy).__name__)),
        "observation": observation if isinstance(observation, str) else getattr(observation, "__name__", "own"),
        "reward": str(settings.get("reward", "")),
        "training_steps": float(settings.get("total_timesteps", 0)),
        "seeds": float(len(policies)),
        "macs_per_decision": float(policy.macs) if isinstance(policy, ScoredPolicy) else 0.0,
    }
    metrics = {}
    for row in curve.rows:
        at = "" if row.target is None else f"_at_{row.target:g}"
        metrics |= {f"hparam/accuracy{at}": 100 * row.accuracy.estimate, f"hparam/timesteps{at}": row.mean_timesteps}
    for summary in hparams(facts, metrics):
        writer.file_writer.add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(name, value)
