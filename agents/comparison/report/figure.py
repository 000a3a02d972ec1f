"""The picture of a comparison: accuracy over mean timesteps, and differences at equal mean timesteps."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.comparison.report.curves import GREY, PolicyCurve
from agents.comparison.result import Comparison


@dataclass(frozen=True)
class Theme:
    """Colours of a picture's ground and text."""

    ground: str
    text: str


LIGHT, DARK = Theme("#ffffff", "#1a1a1a"), Theme("#14171a", "#e6e6e6")


names_as_written = rc_context({"text.parse_math": False})
"""Decorator of functions that draw: names with "$" are no formulas."""


@names_as_written
def draw(comparison: Comparison, curves: Sequence[PolicyCurve], theme: Theme = LIGHT) -> Figure:
    """Two panels over the same mean timesteps: accuracy, and differences from the best rule where there are any.

    A line joins a policy at its own targets, as means over seeds; a band holds their 95 % intervals. A policy with one
    target has the line of all its levels.
    """
    differences = comparison.differences_from(comparison.reference)
    height = 4.2 + 2.6 * bool(differences) + 0.12 * max(len(curves) - 12, 0)
    figure = Figure(figsize=(10, height), layout="constrained", facecolor=theme.ground)
    ratios = [3, 2] if differences else [1]
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_accuracy(panels[0], comparison, curves)
    if differences:
        _draw_differences(panels[1], comparison, curves)
    panels[-1].set_xlabel("mean timesteps")
    for axes in panels:
        axes.set_facecolor(theme.ground)
        axes.grid(alpha=0.25)
        axes.tick_params(colors=theme.text)
        for part in (axes.title, axes.xaxis.label, axes.yaxis.label):
            part.set_color(theme.text)
        for spine in axes.spines.values():
            spine.set_color(GREY)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small", frameon=False, labelcolor=theme.text)
    return figure


def _draw_accuracy(axes: Axes, comparison: Comparison, curves: Sequence[PolicyCurve]) -> None:
    policies = [curve for curve in curves if curve.kind != "reference"] or list(curves)
    rows = [row for curve in policies for row in curve.rows]
    times = [row.mean_timesteps for row in rows]
    margin = 0.06 * max(max(times) - min(times), 0.25)
    right = max(times) + margin
    axes.set_xlim(max(min(times) - margin, 0.9), right)
    low, high = min(row.accuracy.low for row in rows), max(row.accuracy.high for row in rows)
    margin = 0.06 * max(high - low, 0.001)
    axes.set_ylim(100 * (low - margin), 100 * (high + margin))
    for curve in curves:
        x, y = curve.line.T
        points = [(row.mean_timesteps, 100 * row.accuracy.estimate) for row in curve.rows]
        label = curve.name
        if curve.kind == "reference" and not any(x <= right and low <= y / 100 <= high for x, y in points):
            x, y = curve.line[0]
            label = f"{curve.name}, not in view: {100 * y:.1f} % at {x:.2f}"
            axes.plot([], [], linestyle="", marker=curve.marker, color=curve.color, label=label)
            continue
        axes.plot(x, 100 * y, curve.dash, color=curve.color, linewidth=1.2, zorder=2)
        axes.plot(*zip(*points, strict=True), curve.marker, color=curve.color, markersize=5, label=label, zorder=3)
        if curve.kind == "reference":
            continue
        lows, highs = ([100 * getattr(row.accuracy, end) for row in curve.rows] for end in ("low", "high"))
        if len(curve.rows) > 1:
            axes.fill_between(
                [row.mean_timesteps for row in curve.rows], lows, highs, color=curve.color, alpha=0.07, lw=0
            )
        else:
            axes.vlines(points[0][0], lows, highs, color=curve.color, linewidth=0.8)
    axes.set_ylabel("accuracy (%)")
    title = f"{comparison.dataset}, split {comparison.split}, {comparison.samples:,} samples; bands: 95 % intervals"
    axes.set_title(title, fontsize="medium")


def _draw_differences(axes: Axes, comparison: Comparison, curves: Sequence[PolicyCurve]) -> None:
    axes.axhline(0, color=GREY, linewidth=1)
    shown = [curve for curve in curves if any(comparison.difference(row.name) for row in curve.rows)]
    lowest, highest = axes.get_xlim()
    step = min(0.006, 0.08 / max(len(shown), 1)) * (highest - lowest)  # within the margins of the axis
    for place, curve in enumerate(shown):
        shift = (place - (len(shown) - 1) / 2) * step  # neighbours' bars side by side
        found = [(row.mean_timesteps, entry) for row in curve.rows if (entry := comparison.difference(row.name))]
        x = [at + shift for at, _ in found]
        estimates = [100 * entry.interval.estimate for _, entry in found]
        reach = [
            [100 * (e.interval.estimate - e.interval.low), 100 * (e.interval.high - e.interval.estimate)]
            for _, e in found
        ]
        axes.errorbar(
            x,
            estimates,
            yerr=list(zip(*reach, strict=True)),
            fmt=curve.marker,
            linestyle=curve.dash,
            color=curve.color,
            markersize=4,
            capsize=2,
            linewidth=0.9,
        )
    axes.set_ylabel(f"accuracy points over\n{comparison.reference}")
