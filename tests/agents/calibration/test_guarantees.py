"""Risk control: the bound is broken no more often than promised, on populations of known risk."""

import numpy as np
import pytest
from scipy import stats

from agents import Confidence, FixedTimestep, Margin, calibrate
from agents.calibration.curve import exits_at
from agents.calibration.guarantees import control_risk, least_samples, p_values
from agents.rules.scaled_confidence import ScaledConfidence
from backbones import InputError
from seenn_env import Traces, evaluate
from tests.helpers.traces import make_traces

POPULATION = 40_000


@pytest.fixture(scope="module")
def population() -> Traces:
    traces = make_traces(POPULATION, split="calibration", seed=1)
    traces.columns("features")
    return traces


@pytest.fixture(scope="module")
def levels() -> Traces:
    return make_traces(300, split="policy", seed=2)


def true_risk(policy, population: Traces, risk: str) -> float:
    exits = evaluate(policy, population)
    if risk == "accuracy":
        return float(population.correct[:, -1].mean() - exits.accuracy)
    return float((exits.predictions != population.predictions[:, -1]).mean())


def times_broken(population, levels, *, draws, risk, method, max_risk, n=400):
    rng = np.random.default_rng(3)
    known: dict[float, float] = {}
    broken, excess, bold = 0, [], 0
    for _ in range(draws):
        sample = population[rng.integers(POPULATION, size=n)]
        sample = Traces(logits=sample.logits, labels=sample.labels, split="calibration")
        found = control_risk(
            Margin(),
            sample,
            max_risk=max_risk,
            confidence=0.9,
            risk=risk,
            method=method,
            levels_from=levels,
            num_levels=40,
        )
        level = np.inf if found.is_full else found.policy.level
        if level not in known:
            known[level] = 0.0 if found.is_full else true_risk(found.policy, population, risk)
        broken += known[level] > max_risk
        bold += not found.is_full
        excess.append(known[level] - max_risk)
    assert bold > draws / 2  # the promise is not kept by never exiting
    return broken, float(np.mean(excess))


@pytest.mark.parametrize("risk", ["accuracy", "consistency"])
def test_the_bound_is_broken_no_more_often_than_promised(population, levels, risk):
    broken, _ = times_broken(population, levels, draws=100, risk=risk, method="learn-then-test", max_risk=0.05)
    assert broken <= stats.binom.ppf(0.999, 100, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("risk", ["accuracy", "consistency"])
def test_the_bound_holds_over_a_thousand_calibrations(population, levels, risk):
    broken, _ = times_broken(population, levels, draws=1000, risk=risk, method="learn-then-test", max_risk=0.05)
    print(f"{risk}: {broken} of 1000 broken")
    assert broken <= stats.binom.ppf(0.999, 1000, 0.1)


@pytest.mark.parametrize("risk", ["accuracy", "consistency"])
def test_the_expected_risk_is_controlled(population, levels, risk):
    _, excess = times_broken(population, levels, draws=60, risk=risk, method="conformal", max_risk=0.05)
    assert excess <= 0.003


def test_betting_rejects_true_bounds_no_more_often_than_the_level():
    rng = np.random.default_rng(0)
    losses = rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.9, 0.08], size=(500, 2000))  # mean 0.06
    rejected = (p_values(losses, 0.0599999, 0.1) <= 0.1).mean()
    assert rejected <= 0.1 + 3 * np.sqrt(0.09 / 2000)
    assert (p_values(losses, 0.12, 0.1) <= 0.1).mean() > 0.8  # and it has power


def test_losses_of_0_and_1_use_the_binomial_tail():
    losses = np.zeros((598, 1))
    assert p_values(losses, 0.005, 0.05)[0] == pytest.approx(0.995**598)


def test_too_little_data_runs_all_timesteps_and_warns():
    few = make_traces(60, split="calibration")
    found = control_risk(Confidence(), few, max_risk=0.005, risk="consistency")
    assert found.is_full
    assert found.policy == FixedTimestep(4)
    assert "48 samples allow no early exit, so all timesteps are run" in str(found)


def test_the_stated_risk_is_the_measured_one(levels):
    traces = make_traces(4000, split="calibration", seed=9)
    found = control_risk(Margin(), traces, max_risk=0.03, levels_from=levels)
    exits = exits_at(found.policy.trace_scores(traces), found.policy.level)
    assert found.mean_timesteps == pytest.approx(exits.mean())
    assert found.empirical_risk == pytest.approx(true_risk(found.policy, traces, "accuracy"))
    assert found.empirical_risk < 0.03
    assert found.mean_timesteps < 3.5
    assert str(found).startswith("With 95 % confidence, accuracy is within 3 points of all 4 timesteps': ")


def test_repeats_of_one_image_count_once():
    once = make_traces(500, split="calibration", seed=4)
    often = Traces.merge(
        *(Traces(logits=once.logits, labels=once.labels, split="calibration", repeat=np.full(500, i)) for i in range(4))
    )
    settings = {"max_risk": 0.08, "risk": "consistency", "levels_from": make_traces(300, seed=2)}
    assert control_risk(Margin(), often, **settings).samples == 500
    assert control_risk(Margin(), often, **settings).policy == control_risk(Margin(), once, **settings).policy


def test_calibrate_gives_the_policy_of_the_promise(levels):
    traces = Traces.merge(make_traces(1500, split="calibration", seed=9), levels)
    promised = control_risk(Margin(), traces, max_risk=0.06, confidence=0.9).policy
    assert calibrate(Margin(), traces, max_risk=0.06, confidence=0.9) == promised
    with pytest.raises(InputError, match=r"either max_risk or a target, got both, 0\.06 and target_timesteps = 1\.5"):
        calibrate(Margin(), traces, max_risk=0.06, target_timesteps=1.5)


def test_rules_that_need_fitting_are_fitted_on_other_samples_than_tested(levels):
    traces = Traces.merge(make_traces(1500, split="calibration", seed=9), levels)
    found = control_risk(ScaledConfidence(), traces, max_risk=0.06)
    assert found.samples == 1500
    assert found.policy.fitted


def test_bad_arguments_are_one_sentence():
    traces = make_traces(100, split="calibration")
    with pytest.raises(InputError, match="nothing is chosen on test"):
        control_risk(Margin(), make_traces(100, split="test"), max_risk=0.05)
    with pytest.raises(InputError, match="max_risk to be a number above 0 and below 1, got 0"):
        control_risk(Margin(), traces, max_risk=0)
    with pytest.raises(InputError, match="risk, got 'regret'"):
        control_risk(Margin(), traces, max_risk=0.1, risk="regret")
    with pytest.raises(InputError, match="policy to be a ScoredPolicy, got a"):
        control_risk(FixedTimestep(1), traces, max_risk=0.1)


@pytest.mark.parametrize(("max_risk", "confidence"), [(0, 0.9), (1, 0.9), (-1, 0.9), (np.inf, 0.9), (0.1, 1), (0.1, 0)])
def test_the_fewest_samples_of_impossible_bounds_are_refused(max_risk, confidence):
    with pytest.raises(InputError, match=r"a number (of|above)"):
        least_samples(max_risk, confidence)
