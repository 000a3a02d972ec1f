"""A comparison on disk: table.txt, comparison.json, comparison.png and TensorBoard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from agents.comparison import Comparison
from agents.curves import exit_curve
from agents.policy import ScoredPolicy
from seenn_env import Traces


def write_report(comparison: Comparison, members: Mapping[str, Sequence[Any]], traces: Traces, folder: Path) -> None:
    """Write everything into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.txt").write_text(comparison.table() + "\n")
    (folder / "comparison.json").write_text(json.dumps(comparison.to_dict(), indent=1) + "\n")
    figure = draw(comparison, members, traces)
    figure.savefig(folder / "comparison.png", dpi=150)
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        table = "\n".join("    " + line for line in comparison.table().splitlines())
        writer.add_text("comparison/table", table)
        writer.add_figure("comparison/accuracy_over_timesteps", figure)
        for row in comparison.rows:
            writer.add_scalar(f"accuracy/{row.name}", row.accuracy.estimate)
            writer.add_scalar(f"mean_timesteps/{row.name}", row.mean_timesteps)
            for t, share in enumerate(row.exit_shares, 1):
                writer.add_scalar(f"exit_share/{row.name}", share, t)
        for d in comparison.differences:
            writer.add_scalar(f"difference/{d.policy} - {d.rival}", d.interval.estimate)


def draw(comparison: Comparison, members: Mapping[str, Sequence[Any]], traces: Traces) -> Figure:
    """Accuracy over mean timesteps: a curve for each kind of policy that has one, a point for each row."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    fixed = 100 * traces.accuracy
    axes.plot(range(1, len(fixed) + 1), fixed, "o--", color="0.6", label="fixed timestep")
    for row in comparison.rows:
        policy = members[row.name][0]
        low, high = row.accuracy.estimate - row.accuracy.low, row.accuracy.high - row.accuracy.estimate
        if not isinstance(policy, ScoredPolicy) and row.seeds == 1 and row.name.startswith("fixed"):
            continue
        point = axes.errorbar(
            row.mean_timesteps,
            100 * row.accuracy.estimate,
            yerr=[[100 * low], [100 * high]],
            fmt="o",
            capsize=2,
            label=row.name,
        )
        if isinstance(policy, ScoredPolicy):
            curve = exit_curve(policy, traces)
            color = point.lines[0].get_color()
            axes.plot(curve.mean_timesteps, 100 * curve.accuracy, color=color, alpha=0.35, linewidth=1)
    top = max(row.mean_timesteps for row in comparison.rows if not row.name.startswith("fixed"))
    axes.set_xlim(0.95, max(1.2 * top, 2))
    axes.set_xlabel("mean timesteps")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"{comparison.dataset}, split {comparison.split}: {comparison.samples} samples, bars 95 %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    return figure
