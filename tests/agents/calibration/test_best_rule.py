"""`train` at a target returns a policy that is level with the best single threshold there, or warns."""

import warnings

import numpy as np
import pytest

from agents import Confidence, calibrate, train
from agents.calibration import exit_curve
from agents.calibration.best_rule import SINGLE_THRESHOLDS, best_threshold, warn_if_worse
from agents.learners.exact.training import ExitSettings
from agents.learners.sb3.priced_time import FollowTarget, PricedTime
from agents.learners.training import ALGORITHMS
from backbones import InputError
from seenn_env import EarlyExitVectorEnv, Traces, evaluate, to_sb3
from tests.helpers.programs import load_program
from tests.helpers.traces import make_traces

synthetic = load_program("benchmarks/policies/synthetic_traces")
s_shaped, slowly_rising = synthetic.s_shaped, synthetic.slowly_rising

CONVEX = (2.0, 3.0, 3.5)
"""Targets at which the accuracy of the s-shaped traces rises faster and faster."""


def over_best_threshold(algorithm: str, traces: Traces, target: float, **overrides) -> float:
    """Accuracy on calibration over the best rule of one threshold."""
    calibration = traces.select("calibration")
    policy = train(algorithm, traces, target_timesteps=target, **overrides)
    found = evaluate(policy, calibration)
    assert found.mean_timesteps == pytest.approx(target, abs=0.01)
    return found.accuracy - evaluate(best_threshold(calibration, target), calibration).accuracy


def test_the_synthetic_traces_are_s_shaped_and_slowly_rising():
    rising = np.diff(s_shaped(2000).accuracy)
    assert rising[1] > rising[0] + 0.05
    assert rising[-1] < 0.05
    slow = slowly_rising(500)
    assert slow.timesteps == 32
    assert set(slow.split.split("+")) == {"policy", "calibration", "test"}


def test_the_best_threshold_is_the_most_accurate_of_all_at_the_target():
    traces = s_shaped(1000).select("calibration")
    rule = best_threshold(traces, 3.0)
    assert evaluate(rule, traces).mean_timesteps == pytest.approx(3, abs=0.01)
    for other in SINGLE_THRESHOLDS:
        curve = exit_curve(other, traces)
        assert curve.accuracy[curve.nearest(3.0)] <= evaluate(rule, traces).accuracy


@pytest.mark.parametrize("target", CONVEX)
def test_the_exact_learner_is_above_the_best_threshold_where_accuracy_is_convex_in_time(target):
    assert over_best_threshold("exact", s_shaped(2500), target) > 0.01


@pytest.mark.parametrize("target", [1.05, 2.0, 7.0])
def test_the_exact_learner_is_level_with_the_best_threshold_on_digits(packaged, target):
    assert over_best_threshold("exact", packaged, target) > -0.001


@pytest.mark.slow
def test_ppo_is_above_the_best_threshold_where_accuracy_is_convex_in_time():
    assert over_best_threshold("ppo", s_shaped(2500), 3.0, total_timesteps=150_000) > -0.005


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "one-shot"])
@pytest.mark.parametrize("target", CONVEX)
def test_every_learner_is_level_with_the_best_threshold_where_accuracy_is_convex_in_time(algorithm, target):
    assert over_best_threshold(algorithm, s_shaped(), target) > -0.01


@pytest.mark.slow
@pytest.mark.parametrize("target", [1.05, 8.0, 31.0])
def test_the_exact_learner_is_level_with_the_best_threshold_over_many_timesteps(target):
    assert over_best_threshold("exact", slowly_rising(), target) > -0.002


def test_a_policy_below_the_best_threshold_is_named_in_a_warning_with_both_figures():
    calibration = s_shaped(1000).select("calibration")

    class Backwards(Confidence):
        def score(self, observation):
            return 1 - super().score(observation)

    worse = calibrate(Backwards(), calibration, target_timesteps=3.0)
    with pytest.warns(UserWarning, match=r"dqn has \d+\.\d+ % at \d\.\d+ .* less than .* \d+\.\d+ % at 3\."):
        warn_if_worse(worse, "dqn", calibration, 3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_worse(best_threshold(calibration, 3.0), "dqn", calibration, 3.0)


def test_train_warns_of_a_policy_that_loses_to_a_threshold(packaged):
    with pytest.warns(UserWarning, match="one-shot has .* use that rule"):
        train("one-shot", packaged, target_timesteps=1.5, epochs=1)


def test_priced_time_charges_as_much_as_the_linear_reward():
    traces = make_traces(200)
    actions = np.random.default_rng(0).integers(2, size=(40, 16))
    returns = []
    for price in (0.0, 0.7):
        env = PricedTime(
            to_sb3(EarlyExitVectorEnv(16, traces, reward="linear", reward_options={"cost": 0.0})), 4, price
        )
        if price == 0:
            env = to_sb3(EarlyExitVectorEnv(16, traces, reward="linear", reward_options={"cost": 0.7}))
        env.seed(0)
        env.reset()
        total, paid = np.zeros(16), []
        for action in actions:
            _, rewards, dones, _ = env.step(action)
            total += rewards
            paid += total[dones].tolist()
            total[dones] = 0
        returns.append(paid)
    assert returns[0] == pytest.approx(returns[1], abs=1e-6)


def test_the_price_follows_the_timesteps_that_are_spent():
    traces = make_traces(200)
    env = PricedTime(to_sb3(EarlyExitVectorEnv(16, traces, reward="linear", reward_options={"cost": 0.0})), 4, 0.5)
    follow = FollowTarget(env, target_timesteps=2.0)
    env.reset()
    for _ in range(30):
        env.step(np.zeros(16, int))  # all T = 4
    follow._on_rollout_end()
    assert env.price == pytest.approx(0.5 + 1.1 * 10 * 2 / 3)
    for _ in range(9):
        env.step(np.ones(16, int))
    assert env.spent() == 1


def test_settings_of_the_constraint_are_checked():
    with pytest.raises(InputError, match=r"penalty to be a number of 0 or more, got -1\.0"):
        ExitSettings(penalty=-1.0)
