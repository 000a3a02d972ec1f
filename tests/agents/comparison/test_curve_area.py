"""Endpoints: areas between curves, their verdicts, and corrections for many comparisons."""

import numpy as np
import pytest

from agents import Confidence, Margin
from agents.calibration.curve import exit_curve, exits_at
from agents.comparison.bootstrap import Clusters, DifferenceInterval
from agents.comparison.curve_area import Endpoint, matched_curve
from agents.comparison.matched_accuracy import _sums_at, matched_accuracy
from agents.comparison.multiple_comparisons import holm, max_t
from backbones import InputError
from tests.helpers.traces import make_traces

TARGETS = (1.2, 1.6, 2.0)


@pytest.fixture(scope="module")
def held_out():
    return make_traces(1500, split="test", seed=5)


def at_all(policy):
    return dict.fromkeys(TARGETS, policy)


def area_between(policies, rivals, traces, clusters, charge=0.0):
    return matched_curve(policies, traces, clusters, charge=charge).over(matched_curve(rivals, traces, clusters))


def test_a_policy_has_no_area_to_itself(held_out):
    endpoint = area_between(at_all(Margin()), at_all(Margin(0.3)), held_out, Clusters(held_out.sample))
    assert endpoint.area == DifferenceInterval.of(0, np.zeros(10))
    assert endpoint.verdict() == "non-inferior"


def test_accuracy_at_a_target_lies_on_the_curve(held_out):
    clusters = Clusters(held_out.sample, resamples=300)
    found, draws = matched_accuracy(Margin().trace_scores(held_out), held_out.correct, np.array(TARGETS), clusters)
    curve = exit_curve(Margin(), held_out)
    np.testing.assert_allclose(found, np.interp(TARGETS, curve.mean_timesteps, curve.accuracy), atol=2e-3)
    assert draws.shape == (300, 3)
    np.testing.assert_allclose(draws.mean(0), found, atol=4e-3)


def test_the_area_is_the_mean_gap_between_the_curves(held_out):
    targets = np.linspace(1.1, 2, 19)
    endpoint = area_between(
        dict.fromkeys(targets, Margin()),
        dict.fromkeys(targets, Confidence()),
        held_out,
        Clusters(held_out.sample, resamples=200),
    )
    curves = [exit_curve(policy, held_out) for policy in (Margin(), Confidence())]
    fine = np.linspace(1.1, 2, 1001)
    margin, confidence = (np.interp(fine, curve.mean_timesteps, curve.accuracy) for curve in curves)
    assert endpoint.area.estimate == pytest.approx((margin - confidence).mean(), abs=5e-4)
    assert endpoint.area.low <= endpoint.area.estimate <= endpoint.area.high
    assert len(endpoint.differences) == 19


def test_a_policys_own_cost_moves_it_down_its_curve(held_out):
    clusters = Clusters(held_out.sample, resamples=200)
    charged = area_between(at_all(Margin()), at_all(Margin()), held_out, clusters, charge=0.1)
    assert charged.area.estimate < 0
    with pytest.raises(InputError, match=r"targets from 1\.3 to T = 4, got 1.2…2"):
        area_between(at_all(Margin()), at_all(Margin()), held_out, clusters, charge=0.3)


def test_seeds_are_resampled_with_the_samples(held_out):
    clusters = Clusters(held_out.sample, resamples=500)
    one = area_between(at_all([Margin()]), at_all(Confidence()), held_out, clusters).area
    mixed = area_between(at_all([Margin(), Confidence()]), at_all(Confidence()), held_out, clusters).area
    assert mixed.estimate == pytest.approx(one.estimate / 2)


def test_the_verdict_follows_the_interval():
    def verdict(low, high):
        return Endpoint(DifferenceInterval((low + high) / 2, low, high), (1.0, 2.0), ()).verdict(margin=0.002)

    assert verdict(0.001, 0.004) == "superior"
    assert verdict(-0.001, 0.004) == "non-inferior"
    assert verdict(-0.003, 0.004) == "not shown"
    assert verdict(-0.005, -0.001) == "inferior"


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])


def test_max_t_of_independent_comparisons_is_sidaks_and_of_equal_ones_nothing():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(200_000, 4))
    estimates = np.array([2.5, 2.0, 1.0, 0.0])
    raw = np.array([max_t(estimates[[g]], (draws + estimates)[:, [g]])[0] for g in range(4)])
    np.testing.assert_allclose(raw, [0.01242, 0.0455, 0.3173, 1.0], atol=3e-3)  # 2 (1 - Φ(|z|))
    down = 1 - (1 - np.array([0.01242, 0.0455, 0.3173, 1.0])) ** np.array([4, 3, 2, 1])
    np.testing.assert_allclose(max_t(estimates, draws + estimates), down, atol=4e-3)
    same = np.repeat(draws[:, :1], 4, axis=1)
    np.testing.assert_allclose(max_t(np.full(4, 2.0), same + 2.0), np.full(4, 0.0455), atol=2e-3)


def test_max_t_is_never_more_severe_than_holm_and_steps_down_in_order():
    rng = np.random.default_rng(1)
    together = rng.normal(size=(5000, 1)) + 0.5 * rng.normal(size=(5000, 5))
    estimates = np.array([0.3, 3.0, 2.2, -2.6, 1.5])
    raw = np.array([max_t(estimates[[g]], (together + estimates)[:, [g]])[0] for g in range(5)])
    adjusted = max_t(estimates, together + estimates)
    assert (adjusted <= holm(raw) + 2e-3).all()
    assert adjusted[1:4].sum() < 0.8 * holm(raw)[1:4].sum()
    assert (raw <= adjusted).all()
    assert list(np.argsort(adjusted)) == list(np.argsort(-np.abs(estimates)))


def test_max_t_of_a_constant_difference_is_certain():
    still = np.tile([0.0, 0.1], (100, 1))
    assert list(max_t(np.array([0.0, 0.1]), still)) == [1.0, pytest.approx(1 / 101)]


def test_max_t_keeps_the_familys_error_where_nothing_differs():
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        samples = rng.normal(size=(200, 1)) + rng.normal(size=(200, 6))
        weights = rng.multinomial(200, np.full(200, 1 / 200), 400) / 200
        wrong += max_t(samples.mean(0), weights @ samples).min() <= 0.05
    assert wrong / 300 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_an_endpoint_corrects_its_targets_and_keeps_the_areas_draws(held_out):
    clusters = Clusters(held_out.sample, resamples=500)
    endpoint = area_between(at_all(Margin()), at_all(Confidence()), held_out, clusters)
    assert DifferenceInterval.of(endpoint.area.estimate, endpoint.area_draws()) == endpoint.area
    estimates = np.array([difference.estimate for difference in endpoint.differences])
    assert np.array_equal(endpoint.adjusted(), max_t(estimates, endpoint.draws))


def test_sums_on_the_ladder_are_those_of_exits_at_its_levels(held_out):
    scores, correct = Margin().trace_scores(held_out), held_out.correct
    clusters = Clusters(np.arange(len(held_out)) // 3, resamples=10)
    levels = np.concatenate([[-1.0], np.sort(scores[:5, 0]), [2.0]])
    time, hits = _sums_at(scores, correct, levels, clusters)
    for place, level in enumerate(levels):
        exits = exits_at(scores, level)
        assert np.array_equal(time[:, place], clusters.sums(exits))
        assert np.array_equal(hits[:, place], clusters.sums(correct[np.arange(len(exits)), exits - 1]))


def test_different_targets_are_refused(held_out):
    with pytest.raises(InputError, match="same two or more targets twice"):
        area_between({1.2: Margin()}, {1.2: Margin()}, held_out, Clusters(held_out.sample))
