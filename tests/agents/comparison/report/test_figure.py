"""The picture of a comparison: its curves, its colours."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from agents import Margin, compare
from agents.calibration.curve import exit_curve
from agents.comparison.report.answer import LEVEL, answer, verdicts
from agents.comparison.report.curves import COLORS, GREY, mean_curve, policy_curves
from agents.comparison.report.figure import DARK, LIGHT, draw
from agents.comparison.report.pictures import draw_answer
from agents.comparison.result import family_of
from tests.helpers.compared import Outsider, entries
from tests.helpers.traces import make_traces

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
"""Of linear RGB, at full severity (Machado, Oliveira and Fernandes 2009, table 1)."""


@pytest.fixture(scope="module")
def held_out():
    return make_traces(1000, split="test", seed=5)


def curves_of(given, traces):
    members = {name: group if isinstance(group, list) else [group] for name, group in given.items()}
    comparison = compare(given, traces)
    return comparison, policy_curves(comparison, members, traces)


def test_a_curve_joins_each_targets_own_policy_and_averages_seeds(held_out):
    comparison, curves = curves_of(entries(), held_out)
    drawn = [np.array(line.get_xydata()) for line in draw(comparison, curves).axes[0].get_lines()]
    for family in ("confidence", "margin", "per-timestep"):
        rows = [comparison[f"{family} @ {t}"] for t in (1.3, 2.0)]
        joined = np.array([(row.mean_timesteps, 100 * row.accuracy.estimate) for row in rows])
        assert any(line.shape == joined.shape and np.allclose(line, joined) for line in drawn), family
    at, accuracy = mean_curve(entries()["learned"], held_out).T
    assert any(line.shape == (len(at), 2) and np.allclose(line[:, 1], 100 * accuracy) for line in drawn)
    one, other = (exit_curve(member, held_out) for member in entries()["learned"])
    halfway = np.mean([np.interp(1.7, each.mean_timesteps, each.accuracy) for each in (one, other)])
    assert np.interp(1.7, at, accuracy) == pytest.approx(halfway, abs=1e-3)


def test_the_axes_end_where_the_policies_do_and_hold_their_intervals(held_out):
    comparison, curves = curves_of(entries(), held_out)
    axes = draw(comparison, curves).axes[0]
    shown = [row for row in comparison.rows if row.kind != "reference"]
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    assert all(left < row.mean_timesteps < right for row in shown)
    assert all(low < 100 * row.accuracy.low and 100 * row.accuracy.high < high for row in shown)
    assert right < 1.3 * max(row.mean_timesteps for row in shown)


def test_the_second_panel_holds_the_differences_from_the_best_rule(held_out):
    comparison, curves = curves_of(entries(), held_out)
    panels = draw(comparison, curves).axes
    assert comparison.reference in panels[1].get_ylabel()
    points = np.concatenate([line.get_ydata() for line in panels[1].get_lines()])
    for each in comparison.differences_from(comparison.reference):
        assert np.abs(points - 100 * each.interval.estimate).min() < 1e-9


def test_the_answer_has_a_panel_a_target_and_fills_the_markers_that_are_more_than_noise(held_out):
    comparison, curves = curves_of(entries(), held_out)
    differences = (replace(each, adjusted_p=i % 2 / 2) for i, each in enumerate(comparison.differences))
    comparison = replace(comparison, differences=tuple(differences))
    figure = draw_answer(comparison, curves)
    assert figure.get_suptitle().replace("\n", " ") == answer(comparison)
    found = verdicts(comparison)
    assert [axes.get_title() for axes in figure.axes] == [f"at {each.timesteps} timesteps" for each in found]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for axes, verdict in zip(figure.axes, found, strict=True):
        markers = {names[round(line.get_ydata()[0])]: line for line in axes.get_lines() if line.get_marker() != "None"}
        assert set(markers) == {family_of(each.policy) for each in verdict.differences}
        for each in verdict.differences:
            marker = markers[family_of(each.policy)]
            assert marker.get_xdata()[0] == pytest.approx(100 * each.interval.estimate)
            assert (marker.get_markerfacecolor() != "white") == (each.adjusted_p < LEVEL)


def test_the_answer_of_many_targets_names_each_row(held_out):
    given = {"margin": Margin(0.5)} | {f"learned {i}": Outsider(0.1 + 0.08 * i) for i in range(10)}
    comparison, curves = curves_of(given, held_out)
    (axes,) = draw_answer(comparison, curves).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(given)[1:]


def test_a_policy_keeps_its_colour_and_twenty_are_told_apart(held_out):
    given = {f"rule {i}": Outsider(0.1 + 0.04 * i) for i in range(20)}
    comparison, curves = curves_of(given, held_out)
    assert len({(curve.color, curve.marker, curve.dash) for curve in curves}) == 20
    _, alone = curves_of({"fixed": Margin(0.5)} | given, held_out)
    assert [curve.color for curve in alone[1:6]] == [curve.color for curve in curves[1:5]] + [alone[5].color]
    figure = draw(comparison, curves)
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert all(not legend.overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert legend.y0 >= 0


def test_the_differences_of_twenty_policies_are_within_the_axes(held_out):
    comparison, curves = curves_of({"rule": Margin(0.5)} | {f"{i}": Outsider(0.04 * i) for i in range(20)}, held_out)
    axes = draw(comparison, curves).axes[1]
    left, right = axes.get_xlim()
    drawn = np.concatenate([line.get_xdata() for line in axes.get_lines()[1:]])  # the first is the line at 0
    assert left < drawn.min() < drawn.max() < right


def test_colours_differ_for_deuteranopes_and_stand_out_on_both_grounds():
    def seen(color):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return (DEUTERANOPIA @ linear).clip(0, 1) ** (1 / 2.2)

    for one, other in combinations(COLORS, 2):
        assert np.linalg.norm(seen(one) - seen(other)) > 0.1, (one, other)
    for color in (*COLORS, GREY):
        for theme in (LIGHT, DARK):
            assert np.linalg.norm(seen(color) - seen(theme.ground)) > 0.3, (color, theme)
