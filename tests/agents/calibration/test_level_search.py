"""Calibration meets its target, curves are exact, and test is never chosen on."""

import itertools
import warnings

import numpy as np
import pytest

from agents import Confidence, Entropy, FixedTimestep, Margin, Oracle, Patience, PerTimestep, calibrate
from agents.calibration import exit_curve
from agents.calibration.curve import exits_at, level_curve
from agents.rules.per_timestep import _PRICES
from backbones import InputError
from seenn_env import Traces, evaluate
from tests.helpers.traces import make_traces

RULES = [Confidence(), Entropy(), Margin(), PerTimestep(Confidence()), PerTimestep(Margin()), PerTimestep(Entropy())]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("target", [1.0, 1.2, 1.7, 3.0])
def test_a_calibrated_rule_meets_its_target(rule, target):
    traces = make_traces(2000, split="calibration")
    spent = evaluate(calibrate(rule, traces, target_timesteps=target), traces).mean_timesteps
    assert spent == pytest.approx(target, abs=0.002)


def test_the_curve_is_that_of_evaluating_every_threshold(traces):
    part = traces[:40]
    for rule in (Confidence(), Entropy(), Margin()):
        curve = exit_curve(rule, part)
        assert (np.diff(curve.mean_timesteps) > 0).all()
        for entry in range(0, len(curve.levels), 5):
            level = curve.levels[entry]
            if not 0 <= rule.sign * level <= 1:
                continue
            result = evaluate(rule.at_level(level), part)
            assert result.mean_timesteps == pytest.approx(curve.mean_timesteps[entry])
            assert result.accuracy == pytest.approx(curve.accuracy[entry])
        assert (curve.mean_timesteps[0], curve.mean_timesteps[-1]) == (1, 4)
        assert (curve.accuracy[0], curve.accuracy[-1]) == (part.accuracy[0], part.accuracy[-1])


def test_rows_with_equal_scores_move_together():
    scores = np.array([[0.5, 0.5], [0.5, 0.2], [0.9, 0.1]])
    right = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]], bool)
    curve = level_curve(scores, right)
    # m = .5 .5 | .5 .5 | .9 .9: below .5 nobody goes on; between, rows 0 and 1 go to the end; above, all do
    assert curve.mean_timesteps == pytest.approx([1, 1 + 4 / 3, 1 + 6 / 3])
    assert curve.accuracy == pytest.approx([2 / 3, 3 / 3, 2 / 3])


def test_per_timestep_thresholds_are_at_least_as_good_as_one_threshold_where_they_are_fitted(packaged):
    calibration = packaged.select("calibration")
    for target in (1.2, 1.5, 2.0):
        one = evaluate(calibrate(Margin(), calibration, target_timesteps=target), calibration)
        each = evaluate(calibrate(PerTimestep(Margin()), calibration, target_timesteps=target), calibration)
        assert each.accuracy >= one.accuracy


def test_per_timestep_search_finds_the_best_there_is_on_a_small_problem():
    traces = make_traces(60, T=3, K=3, split="calibration", seed=3)
    scores = traces.columns("features")[:, :2, 1].astype(float)
    best = 0.0
    grids = [np.append(np.unique(scores[:, t]), 2.0) for t in range(2)]
    for levels in itertools.product(*grids):
        leaves = np.concatenate([scores >= levels, np.ones((60, 1), bool)], 1).argmax(1)
        if leaves.mean() + 1 <= 1.5:
            best = max(best, traces.correct[np.arange(60), leaves].mean())
    found = evaluate(calibrate(PerTimestep(Margin()), traces, target_timesteps=1.5), traces)
    assert found.mean_timesteps == pytest.approx(1.5, abs=0.02)
    assert found.accuracy >= best - 2 / 60


@pytest.mark.parametrize("rule", [Margin(), Entropy(), Patience()], ids=repr)
def test_no_single_threshold_of_many_timesteps_could_be_better(rule):
    traces = make_traces(80, T=9, K=3, split="calibration", seed=7)
    scores, steps = rule.trace_scores(traces), np.arange(1, 10)
    for price, variant in list(zip(_PRICES, PerTimestep(rule).variants(traces), strict=True))[::5]:
        worth = traces.correct - price * steps
        levels = rule.sign * np.array(variant.thresholds)

        def value(levels, worth=worth):
            return worth[np.arange(80), exits_at(scores - levels, 0.0) - 1].mean()

        for t in range(8):
            tried = [value(np.concatenate([levels[:t], [at], levels[t + 1 :]])) for at in np.unique(scores[:, t])]
            assert max(tried) <= value(levels) + 1e-9


@pytest.mark.parametrize("rule", [Margin(), Entropy(), Patience()], ids=repr)
def test_per_timestep_scores_of_all_timesteps_are_those_of_each(rule, traces):
    policy = PerTimestep(rule, (0.9, 0.5, 0.1), 0.05)
    columns, state = traces.columns(policy.observation), None
    for t, scores in enumerate(policy.trace_scores(traces).T):
        found, state = policy.score_step(columns[:, t], state, np.full(len(traces), t == 0))
        assert np.array_equal(scores, found)
    with pytest.raises(InputError, match="Expected traces of T = 3, got 4"):
        PerTimestep(rule, (0.9, 0.5)).trace_scores(traces)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_nothing_is_calibrated_on_test(rule, packaged):
    for traces in (packaged, packaged.select("test")):
        with pytest.raises(InputError, match=r"another split for calibration.*nothing is chosen on test"):
            calibrate(rule, traces, target_timesteps=1.5)


def test_bad_targets_and_policies_without_a_score_are_one_sentence():
    traces = make_traces(50, split="calibration")
    for target in (0.5, 4.5, float("nan")):
        with pytest.raises(
            InputError, match=rf"target_timesteps (from 1 to T = 4|to be a number or None), got {target}"
        ):
            calibrate(Confidence(), traces, target_timesteps=target)
    for policy in (FixedTimestep(2), Oracle()):
        with pytest.raises(InputError, match="policy to be a ScoredPolicy, got a"):
            calibrate(policy, traces, target_timesteps=1.5)


def test_with_one_timestep_there_is_nothing_to_decide():
    traces = make_traces(30, T=1, split="calibration")
    rule = calibrate(Confidence(), traces, target_timesteps=1)
    assert evaluate(rule, traces).mean_timesteps == 1


def test_saturated_confidence_is_still_a_valid_rule():
    logits = np.zeros((10, 3, 2), np.float32)
    logits[:, :, 0] = 100
    traces = Traces(logits=logits, labels=[0] * 10, split="calibration")
    rule = calibrate(Confidence(), traces, target_timesteps=3)
    assert 0 <= rule.threshold <= 1


def test_a_target_that_is_not_reached_is_named_with_the_nearest_value():
    traces = make_traces(300, split="calibration")
    best = exit_curve(Margin(), traces).accuracy.max()
    with pytest.warns(
        UserWarning, match=rf"target_accuracy that Margin can .* got 0\.999 .* the nearest, {best:.4g}, is taken"
    ) as found:
        rule = calibrate(Margin(), traces, target_accuracy=0.999)
    assert evaluate(rule, traces).accuracy == best
    assert len(found) == 1
    curve = exit_curve(Patience(), traces)
    nearest = curve.mean_timesteps[curve.nearest(1.4)]
    assert abs(nearest - 1.4) > 0.1
    with pytest.warns(
        UserWarning, match=rf"target_timesteps that Patience can .* got 1\.4 .* the nearest, {nearest:.4g}, is taken"
    ):
        rule = calibrate(Patience(), traces, target_timesteps=1.4)
    assert evaluate(rule, traces).mean_timesteps == nearest
    costs = np.array([2.0, 4.0, 6.0, 8.0])
    with pytest.warns(UserWarning, match=rf"target_cost .* got 2\.8 .* the nearest, {2 * nearest:.4g}, is taken"):
        calibrate(Patience(), traces, target_cost=2.8, costs=costs)


def test_a_target_that_is_reached_is_met_without_a_warning():
    traces = make_traces(300, split="calibration")
    highest = exit_curve(Margin(), traces).accuracy.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for target in (1.0, 1.503, 4.0):
            calibrate(Margin(), traces, target_timesteps=target)
        calibrate(Margin(), traces, target_accuracy=highest)
        mixed = calibrate(Patience(), traces, target_timesteps=1.4, randomise=True)
    assert mixed.share not in (0, 1)


def test_an_accuracy_that_no_level_has_is_not_met_by_chance_either():
    traces = make_traces(300, split="calibration")
    with pytest.warns(UserWarning, match="no level is that accurate"):
        mixed = calibrate(Margin(), traces, target_accuracy=0.999, randomise=True)
    assert evaluate(mixed, traces).accuracy == exit_curve(Margin(), traces).accuracy.max()
    assert mixed.share == 1


def test_of_several_settings_the_one_that_meets_the_target_is_taken_before_a_more_accurate_one():
    rng = np.random.default_rng(0)
    traces, calm = make_traces(200, T=3, split="calibration"), rng.random((200, 2))

    class Variants(Margin):
        fine = False

        def variants(self, traces):
            for self.fine in (True, False):
                yield self

        def trace_scores(self, traces):
            return calm if self.fine else np.zeros((200, 2))

    rule = Variants()
    coarse, fine = (exit_curve(rule, traces) for rule.fine in (False, True))
    assert coarse.accuracy[coarse.nearest(2.1)] > fine.accuracy[fine.nearest(2.1)]
    found = calibrate(rule, traces, target_timesteps=2.1)
    assert np.mean(exits_at(calm, found.level)) == pytest.approx(2.1, abs=0.005)
