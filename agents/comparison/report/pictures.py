"""Pictures of a comparison besides its curves: exit shares, reliability, images by exit timestep.

Letters: N rows, T timesteps, C channels.
"""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from agents.comparison.report.answer import LEVEL, answer, verdicts
from agents.comparison.report.curves import GREY, PolicyCurve
from agents.comparison.report.figure import names_as_written
from agents.comparison.result import Comparison, family_of
from agents.rules.score import COLUMNS
from seenn_env import Evaluation, Traces


@names_as_written
def draw_answer(comparison: Comparison, curves: Sequence[PolicyCurve]) -> Figure:
    """The answer, above the differences from the best rule with their intervals, a panel for each target.

    It has the pixels of a card of TensorBoard's landing page, which scales larger images without smoothing. Markers are
    filled where p is below `LEVEL`.
    """
    styles = {curve.name: curve for curve in curves}
    panels = [
        (f"at {each.timesteps} timesteps", {family_of(d.policy): d for d in each.differences})
        for each in verdicts(comparison)
    ]
    if len(panels) > 4:
        panels = [("", {each.policy: each for each in comparison.differences_from(comparison.reference)})]
    names = list({name: None for _, differences in panels for name in differences})
    labels = [fill(name, 16) for name in names]
    lines = len(labels) + sum(label.count("\n") for label in labels)
    figure = Figure(figsize=(3.7, max(2.15, 1.1 + 0.16 * lines)), dpi=100, layout="constrained")
    figure.suptitle(fill(answer(comparison), 58), fontsize=7, fontweight="bold")
    if not names:
        return figure
    drawn = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (place, differences) in zip(drawn, panels, strict=True):
        axes.axvline(0, color=GREY, linewidth=1)
        for name, each in differences.items():
            y, style = names.index(name), styles[family_of(name)]
            low, middle, high = (100 * getattr(each.interval, end) for end in ("low", "estimate", "high"))
            inside = style.color if each.adjusted_p < LEVEL else "white"
            axes.plot([low, high], [y, y], color=style.color, linewidth=1.2)
            axes.plot(middle, y, style.marker, color=style.color, markerfacecolor=inside, markersize=5)
        axes.set_title(place, fontsize=7)
        axes.set_yticks(range(len(names)), labels)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(labelsize=7, length=2, pad=1)
        axes.grid(axis="x", alpha=0.25)
    figure.supxlabel(
        f"points over {comparison.reference} at equal mean timesteps, 95 %\n"
        f"filled: more than noise (p < {LEVEL:g}, corrected for {len(comparison.differences)} differences)",
        fontsize=6.5,
    )
    return figure


@names_as_written
def draw_exits(comparison: Comparison, curves: Sequence[PolicyCurve]) -> Figure:
    """Shares of rows that exit at each timestep, one stacked bar for each policy and target."""
    rows = [row for curve in curves if curve.kind != "reference" for row in curve.rows]
    rows = rows or list(comparison.rows)
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(rows))
    names = [row.name for row in rows]
    T = comparison.timesteps
    for t in range(T):
        share = np.array([100 * row.exit_shares[t] for row in rows])
        shade = str(0.15 + 0.75 * t / max(T - 1, 1))
        axes.barh(names, share, left=left, color=shade, edgecolor="white", linewidth=0.4, label=f"t = {t + 1}")
        left += share
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("exits (% of rows)")
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    return figure


def draw_reliability(traces: Traces, bins: int = 15) -> Figure:
    """Accuracy over the network's confidence, one line for each timestep, with its expected calibration error.

    Guo et al., ICML 2017: ECE = Σ_b n_b / N · |accuracy_b - confidence_b| over bins of equal width.
    """
    confidence = traces.columns("features")[:, :, COLUMNS["confidence"]]
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1)
    for t in range(traces.timesteps):
        place = np.minimum((confidence[:, t] * bins).astype(int), bins - 1)
        count = np.bincount(place, minlength=bins)
        full = count > 0
        mean = np.bincount(place, confidence[:, t], bins)[full] / count[full]
        right = np.bincount(place, traces.correct[:, t], bins)[full] / count[full]
        error = (count[full] * np.abs(mean - right)).sum() / len(traces)
        shade = str(0.75 * (1 - t / max(traces.timesteps - 1, 1)))
        axes.plot(mean, right, "o-", color=shade, markersize=3, linewidth=1, label=f"t = {t + 1}: ECE {error:.3f}")
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.legend(fontsize="small", frameon=False)
    return figure


def images_by_exit(evaluation: Evaluation, traces: Traces, most: int = 16) -> dict[int, np.ndarray]:
    """For each timestep at which rows exit, at most `most` of these rows, spread evenly; none without images."""
    if traces.images is None:
        return {}
    rows = {}
    for t in range(1, evaluation.timesteps + 1):
        exits = np.flatnonzero(evaluation.exit_timesteps == t)
        _, first = np.unique(traces.sample[exits], return_index=True)  # no sample twice
        exits = exits[first]
        if len(exits):
            rows[t] = exits[np.unique(np.linspace(0, len(exits) - 1, most).astype(int))]
    return rows


def image_grid(traces: Traces, rows: np.ndarray, columns: int = 8) -> np.ndarray:
    """`[C, H, W]` uint8: the images of rows in a grid, at least 32 pixels a side each, with one pixel between."""
    assert traces.images is not None
    images = traces.images[traces.image_places[rows]]
    scale = max(1, -(-32 // images.shape[-1]))
    images = images.repeat(scale, axis=2).repeat(scale, axis=3)
    images = np.pad(images, ((0, -len(images) % columns), (0, 0), (0, 1), (0, 1)), constant_values=128)
    N, C, H, W = images.shape
    grid: np.ndarray = images.reshape(N // columns, columns, C, H, W).transpose(2, 0, 3, 1, 4)
    return grid.reshape(C, N // columns * H, columns * W)
