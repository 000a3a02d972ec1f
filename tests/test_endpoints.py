"""Endpoints: areas between curves, what they say, and corrections for many comparisons."""

import numpy as np
import pytest
from conftest import make_traces

from agents import Confidence, Margin
from agents.curves import exit_curve
from agents.endpoints import Endpoint, area_between, matched_accuracy
from agents.policy import scores_of
from agents.statistics import Clusters, Interval, holm
from backbones import InputError

TARGETS = (1.2, 1.6, 2.0)


@pytest.fixture(scope="module")
def test_traces():
    return make_traces(1500, split="test", seed=5)


def at_all(policy):
    return dict.fromkeys(TARGETS, policy)


def test_a_policy_has_no_area_to_itself(test_traces):
    endpoint = area_between(at_all(Margin()), at_all(Margin(0.3)), test_traces, Clusters(test_traces.sample))
    assert endpoint.area == Interval.of(0, np.zeros(10))
    assert endpoint.verdict() == "non-inferior"


def test_accuracy_at_a_target_lies_on_the_curve(test_traces):
    clusters = Clusters(test_traces.sample, resamples=300)
    found, draws = matched_accuracy(scores_of(Margin(), test_traces), test_traces.correct, np.array(TARGETS), clusters)
    curve = exit_curve(Margin(), test_traces)
    np.testing.assert_allclose(found, np.interp(TARGETS, curve.mean_timesteps, curve.accuracy), atol=2e-3)
    assert draws.shape == (300, 3)
    np.testing.assert_allclose(draws.mean(0), found, atol=4e-3)


def test_the_area_is_the_mean_gap_between_the_curves(test_traces):
    targets = np.linspace(1.1, 2, 19)
    endpoint = area_between(
        dict.fromkeys(targets, Margin()),
        dict.fromkeys(targets, Confidence()),
        test_traces,
        Clusters(test_traces.sample, resamples=200),
    )
    curves = [exit_curve(policy, test_traces) for policy in (Margin(), Confidence())]
    fine = np.linspace(1.1, 2, 1001)
    margin, confidence = (np.interp(fine, curve.mean_timesteps, curve.accuracy) for curve in curves)
    assert endpoint.area.estimate == pytest.approx((margin - confidence).mean(), abs=5e-4)
    assert endpoint.area.low <= endpoint.area.estimate <= endpoint.area.high
    assert len(endpoint.differences) == 19


def test_a_policys_own_cost_moves_it_down_its_curve(test_traces):
    clusters = Clusters(test_traces.sample, resamples=200)
    charged = area_between(at_all(Margin()), at_all(Margin()), test_traces, clusters, charge=0.1)
    assert charged.area.estimate < 0
    with pytest.raises(InputError, match=r"targets from 1\.3 to T = 4, got 1.2…2"):
        area_between(at_all(Margin()), at_all(Margin()), test_traces, clusters, charge=0.3)


def test_seeds_are_resampled_with_the_samples(test_traces):
    clusters = Clusters(test_traces.sample, resamples=500)
    one = area_between(at_all([Margin()]), at_all(Confidence()), test_traces, clusters).area
    mixed = area_between(at_all([Margin(), Confidence()]), at_all(Confidence()), test_traces, clusters).area
    assert mixed.estimate == pytest.approx(one.estimate / 2)


def test_the_verdict_follows_the_interval():
    def verdict(low, high):
        return Endpoint(Interval((low + high) / 2, low, high), (1.0, 2.0), ()).verdict(margin=0.002)

    assert verdict(0.001, 0.004) == "superior"
    assert verdict(-0.001, 0.004) == "non-inferior"
    assert verdict(-0.003, 0.004) == "not shown"
    assert verdict(-0.005, -0.001) == "inferior"


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])


def test_different_targets_are_refused(test_traces):
    with pytest.raises(InputError, match="same two or more targets twice"):
        area_between({1.2: Margin()}, {1.2: Margin()}, test_traces, Clusters(test_traces.sample))
