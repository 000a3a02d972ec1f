"""Targets in accuracy, energy and measured cost are met, at the least cost, and charge the policy's own."""

import numpy as np
import pytest

from agents import Confidence, Margin, PerTimestep, calibrate
from agents.calibration import exit_curve
from backbones import InputError
from backbones.energy import EnergyModel
from seenn_env import Traces, evaluate
from tests.helpers.traces import make_traces

MAC_PJ = EnergyModel().pj_per_mac


def energetic(N: int = 3000) -> Traces:
    """Traces whose rows need unequal energy."""
    traces = make_traces(N, split="calibration")
    energy = np.cumsum(np.random.default_rng(1).uniform(50, 150, traces.predictions.shape), 1)
    return Traces(logits=traces.logits, labels=traces.labels, split="calibration", energy_pj=energy.astype(np.float32))


class Charged(Confidence):
    """A rule that costs something itself."""

    macs = 10


@pytest.mark.parametrize("rule", [Confidence(), PerTimestep(Margin())], ids=repr)
def test_an_accuracy_is_reached_at_the_least_time(rule):
    traces = make_traces(3000, split="calibration")
    target = float(np.mean([traces.accuracy[0], traces.accuracy[-1]]))
    found = calibrate(rule, traces, target_accuracy=target)
    result = evaluate(found, traces)
    assert result.accuracy >= target
    curve = exit_curve(found, traces)
    assert (curve.accuracy[curve.mean_timesteps < result.mean_timesteps - 1e-9] < target).all()


def test_an_accuracy_out_of_reach_gives_the_most_there_is():
    traces = make_traces(500, split="calibration")
    found = evaluate(calibrate(Margin(), traces, target_accuracy=1.0), traces)
    assert found.accuracy == exit_curve(Margin(), traces).accuracy.max()


@pytest.mark.parametrize("rule", [Confidence(), PerTimestep(Margin()), Charged()], ids=lambda rule: type(rule).__name__)
def test_a_target_in_energy_is_met_and_charges_the_policy(rule):
    traces = energetic()
    found = evaluate(calibrate(rule, traces, target_energy_pj=180), traces)
    spent = found.energy_pj
    decisions = np.minimum(found.exit_timesteps, traces.timesteps - 1)
    own = rule.macs * MAC_PJ * decisions
    assert (spent + own).mean() == pytest.approx(180, abs=0.2)


def test_measured_milliseconds_are_a_cost_like_any_other():
    traces = make_traces(3000, split="calibration")
    milliseconds = np.array([2.0, 2.5, 4.0, 9.0])
    found = evaluate(calibrate(Margin(), traces, target_cost=3.0, costs=milliseconds), traces)
    assert milliseconds[found.exit_timesteps - 1].mean() == pytest.approx(3.0, abs=0.01)


def test_bad_targets_are_one_sentence():
    traces, dark = energetic(100), make_traces(100, split="calibration")
    for given, message in [
        ({}, "exactly one of target_timesteps, .* got none"),
        ({"target_timesteps": 1.5, "target_accuracy": 0.9}, "got target_timesteps, target_accuracy"),
        ({"target_accuracy": 95}, r"target_accuracy in \(0, 1\], a fraction, got 95"),
        ({"target_energy_pj": 5.0}, "target_energy_pj between the mean costs .* got 5"),
        ({"target_cost": 2.0}, "costs with target_cost"),
        ({"target_cost": 2.0, "costs": [1, 2]}, r"costs \[T\] or \[N, T\]"),
        ({"target_cost": 2.0, "costs": [1, 3, 2, 4]}, "never fall"),
    ]:
        with pytest.raises(InputError, match=message):
            calibrate(Confidence(), traces, **given)
    with pytest.raises(InputError, match="traces with energy_pj"):
        calibrate(Confidence(), dark, target_energy_pj=100)
