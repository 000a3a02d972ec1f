"""A comparison on disk: table.txt, comparison.json, comparison.png and TensorBoard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from agents.calibration.curve import exit_curve
from agents.comparison.result import Comparison
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import FixedTimestep
from seenn_env import Traces


def write_report(comparison: Comparison, members: Mapping[str, Sequence[Any]], traces: Traces, folder: Path) -> None:
    """Write all four into a folder, which is made."""
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
            if row.energy_pj is not None:
                writer.add_scalar(f"mean_energy_nj/{row.name}", row.energy_pj / 1000)
            for t, share in enumerate(row.exit_shares, 1):
                writer.add_scalar(f"exit_share/{row.name}", share, t)
        for d in comparison.differences:
            writer.add_scalar(f"difference/{d.policy} - {d.rival}", d.interval.estimate)


def draw(comparison: Comparison, members: Mapping[str, Sequence[Any]], traces: Traces) -> Figure:
    """Accuracy over mean timesteps, means over seeds, with one colour for all targets of a policy ("name @ target").

    A line joins the targets of a policy; a policy with one target has the curve of all its levels.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, traces.timesteps + 1), 100 * traces.accuracy, "o--", color="0.6", label="fixed timestep")
    times = [row.mean_timesteps for row in comparison.rows if isinstance(members[row.name][0], ScoredPolicy)]
    limit = max(1.3 * max(times, default=0), 2.05)
    palette = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    colors: dict[str, Any] = {}
    points: dict[str, list[tuple[float, float]]] = {}
    families = [row.name.split(" @ ")[0] for row in comparison.rows]
    for row in comparison.rows:
        policy = members[row.name][0]
        if isinstance(policy, FixedTimestep) or row.mean_timesteps > limit:
            continue
        family = row.name.split(" @ ")[0]
        first = family not in colors
        points.setdefault(family, []).append((row.mean_timesteps, 100 * row.accuracy.estimate))
        color = colors.setdefault(family, palette[len(colors) % len(palette)])
        a = row.accuracy
        axes.errorbar(
            row.mean_timesteps,
            100 * a.estimate,
            yerr=[[100 * (a.estimate - a.low)], [100 * (a.high - a.estimate)]],
            fmt="o",
            markersize=4,
            capsize=2,
            elinewidth=0.8,
            color=color,
            label=family if first else None,
        )
        if families.count(family) == 1 and isinstance(policy, ScoredPolicy):
            axes.plot(*mean_curve(members[row.name], traces), color=color, alpha=0.5, linewidth=1)
    for family, joined in points.items():
        if families.count(family) > 1:
            axes.plot(*zip(*sorted(joined), strict=True), color=colors[family], alpha=0.5, linewidth=1)
    axes.set_xlim(0.95, limit)
    floor = float(np.floor(100 * min(row.accuracy.low for row in comparison.rows)))
    axes.set_ylim(max(0, floor), 100.5)
    axes.set_xlabel("mean timesteps")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"{comparison.dataset}, split {comparison.split}: {comparison.samples} samples, bars 95 %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    return figure


def mean_curve(policies: Sequence[ScoredPolicy], traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Mean timesteps and accuracy (%) of a policy at all its levels, as means over its seeds."""
    curves = [exit_curve(policy, traces) for policy in policies]
    if len(curves) == 1:
        return curves[0].mean_timesteps, 100 * curves[0].accuracy
    at = np.linspace(1, traces.timesteps, 1000)
    return at, 100 * np.mean([np.interp(at, curve.mean_timesteps, curve.accuracy) for curve in curves], axis=0)
