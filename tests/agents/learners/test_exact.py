"""The exact objective is exact, and the network trained on it is as good as PPO, and is saved."""

import itertools

import numpy as np
import pytest
import torch

from agents import Confidence, ExitNetwork, Margin, Oracle, PerTimestep, calibrate, load, save, train
from agents.learners.exact.training import ExitSettings, exit_distribution, train_exit_network
from backbones import InputError
from seenn_env import evaluate
from seenn_env.rewards import LinearReward
from tests.helpers.recorded import full_traces
from tests.helpers.traces import make_traces, trivial

QUICK = {"steps": 60}


def expected_reward(probability, rewards):
    return (exit_distribution(probability) * rewards).sum(-1)


def expected_timesteps(probability):
    return expected_reward(probability, torch.arange(1.0, probability.shape[-1] + 2))


def test_the_expected_reward_is_that_of_every_way_of_exiting():
    rng = np.random.default_rng(0)
    probability, rewards = torch.from_numpy(rng.uniform(size=(5, 3))), torch.from_numpy(rng.normal(size=(5, 4)))
    total, spent = torch.zeros(5), torch.zeros(5)
    for draws in itertools.product([0, 1], repeat=3):
        chance = torch.prod(torch.where(torch.tensor(draws, dtype=bool), probability, 1 - probability), -1)
        exit_at = draws.index(1) if 1 in draws else 3
        total = total + chance * rewards[:, exit_at]
        spent = spent + chance * (exit_at + 1)
    assert torch.allclose(expected_reward(probability, rewards), total)
    assert torch.allclose(expected_timesteps(probability), spent)
    assert torch.allclose(exit_distribution(probability).sum(-1), torch.ones(5, dtype=torch.float64))


def test_its_gradient_is_the_advantage_of_exiting_over_going_on_times_the_chance_to_be_there():
    rng = np.random.default_rng(1)
    probability = torch.from_numpy(rng.uniform(size=(6, 3))).requires_grad_(True)
    rewards = torch.from_numpy(rng.normal(size=(6, 4)))
    assert torch.autograd.gradcheck(lambda p: expected_reward(p, rewards), probability)
    (gradient,) = torch.autograd.grad(expected_reward(probability, rewards).sum(), probability)
    p = probability.detach()
    for t in range(3):
        there = torch.prod(1 - p[:, :t], -1)
        goes_on = expected_reward(p[:, t + 1 :], rewards[:, t + 1 :])
        assert torch.allclose(gradient[:, t], there * (rewards[:, t] - goes_on))


@pytest.mark.parametrize(("right_from", "timestep"), [(1, 1), (3, 3)])
def test_it_learns_trivial_traces(right_from, timestep):
    result = evaluate(train("exact", trivial(right_from)), trivial(right_from))
    assert result.accuracy == 1
    assert result.mean_timesteps == pytest.approx(timestep, abs=0.02)


def test_on_digits_it_is_ahead_of_confidence_and_behind_the_oracle(packaged):
    calibration = packaged.select("calibration")
    found = train("exact", packaged, target_timesteps=1.5, seed=1)
    assert evaluate(found, calibration).mean_timesteps == pytest.approx(1.5, abs=0.01)
    rule = calibrate(Confidence(), calibration, target_timesteps=1.5)
    test = packaged.select("test")
    assert evaluate(rule, test).accuracy < evaluate(found, test).accuracy <= evaluate(Oracle(), test).accuracy


@pytest.mark.parametrize(("T", "given", "steps"), [(4, {}, 160), (8, {}, 160), (16, {}, 320), (16, {"steps": 9}, 9)])
def test_many_timesteps_are_learned_from_for_longer(T, given, steps):
    rows = make_traces(40, T)
    assert train("exact", rows, **given).settings["exact"]["steps"] == steps


def test_it_earns_as_much_as_the_best_rule(packaged):
    traces, reward = packaged.select("policy")[::3], LinearReward(0.1)
    earned = evaluate(train("exact", traces, steps=400), traces, reward=reward).rewards.mean()
    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.8)
    assert earned > evaluate(rule, traces, reward=reward).rewards.mean() - 0.002


def test_dual_ascent_moves_the_time_cost_until_the_expected_timesteps_meet_the_target():
    traces = make_traces(1000)
    for target in (1.3, 2.0):
        policy = train_exit_network(traces, ExitSettings(), target_timesteps=target)
        spent = expected_timesteps(torch.from_numpy(policy.trace_scores(traces))).mean()
        assert float(spent) == pytest.approx(target, abs=0.15)


def test_a_seed_gives_the_same_network_again():
    traces = make_traces(300)
    one, two, other = (train("exact", traces, seed=seed, **QUICK) for seed in (0, 0, 1))
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name
    assert not torch.equal(one.tensors["weight_0"], other.tensors["weight_0"])


def test_it_learns_on_rich_columns_and_spikes_is_saved_and_comes_back(tmp_path):
    traces = full_traces()
    policy = train("exact", traces, observation="rich+hidden", **QUICK)
    F = traces.observation("rich+hidden").low.size
    assert 17 + traces.hidden.shape[-1] == F  # the rich columns and the spikes
    assert policy.macs == (traces.timesteps + F) * 32 + 32 * 32 + 32
    again = load(save(policy, tmp_path / "a.safetensors"))
    assert isinstance(again, ExitNetwork)
    assert again.settings == policy.settings
    assert again.settings["algorithm"] == "exact"
    assert np.array_equal(evaluate(again, traces).exit_timesteps, evaluate(policy, traces).exit_timesteps)


def test_weights_of_another_shape_are_refused():
    tensors = {"weight_0": torch.zeros(2, 10, 1), "bias_0": torch.zeros(1)}
    with pytest.raises(InputError, match=r"weight_0 \[4, H\].* got {'weight_0': \(2, 10, 1\).*: train the policy anew"):
        ExitNetwork(tensors, "features", 4)


def test_it_learns_on_the_policy_split_only_and_needs_no_target_split(packaged):
    whole, alone = (train("exact", traces, steps=5) for traces in (packaged, packaged.select("policy")))
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, alone.tensors[name])
    with pytest.raises(InputError, match="rows of split 'policy'"):
        train("exact", packaged.select("calibration"))


def test_other_rewards_are_learned_too():
    traces = make_traces(2000)
    eager = train("exact", traces, reward="seenn", reward_options={"beta": 0.0}, **QUICK)
    patient = train("exact", traces, reward="seenn", reward_options={"beta": 20.0}, **QUICK)
    assert evaluate(eager, traces).mean_timesteps == 1
    assert evaluate(patient, traces).mean_timesteps > 2


def test_with_one_timestep_there_is_nothing_to_learn():
    traces = make_traces(30, T=1)
    assert evaluate(train("exact", traces), traces).mean_timesteps == 1


def test_progress_is_reported_as_the_fraction_done():
    done = []
    train("exact", make_traces(50), on_progress=done.append, steps=40)
    assert done == pytest.approx(np.arange(1, 41) / 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps to be a whole number of 1 or more or None, got 0"),
        ({"entropy": float("nan")}, "entropy to be a number of 0 or more, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate to be a number above 0, got inf"),
        ({"learning_rate": 1e38}, "learning_rate to be a number above 0, got 1e\\+38, which is beyond 1e\\+30"),
        ({"learning_rate": 1e30}, "NaN or infinity in 'weight_0'|'bias_0': the training diverged"),
        ({"depth": 3}, "setting of 'exact', got 'depth'. Known: .*entropy"),
    ],
)
def test_bad_arguments_are_one_sentence(traces, arguments, message):
    with pytest.raises(InputError, match=message):
        train("exact", traces, **arguments)
