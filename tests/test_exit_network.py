"""The exact objective is exact, and the network trained on it is as good as PPO, saved, and serves many targets."""

import itertools

import numpy as np
import pytest
import torch
from conftest import make_traces
from recorded import full_traces
from test_learning import trivial

from agents import Confidence, ExitNetwork, Margin, Oracle, PerTimestep, calibrate, load, save, train
from agents.beliefs import beliefs
from agents.exact import exit_distribution, expected_reward, expected_timesteps
from agents.exit_training import ExitSettings, train_exit_network
from agents.fitted_confidence import fit_temperature
from backbones import InputError
from seenn_env import LinearReward, Traces, evaluate

QUICK = {"steps": 60}


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


def test_on_digits_it_earns_what_the_best_rule_earns_and_is_ahead_of_confidence(packaged):
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


def test_it_earns_what_the_best_rule_earns(packaged):
    traces, reward = packaged.select("policy")[::3], LinearReward(0.1)
    earned = evaluate(train("exact", traces, steps=400), traces, reward=reward).rewards.mean()
    rule = calibrate(PerTimestep(Margin()), traces, target_timesteps=1.8)
    assert earned > evaluate(rule, traces, reward=reward).rewards.mean() - 0.002


def test_dual_ascent_moves_the_time_cost_until_the_expected_timesteps_meet_the_target():
    traces = make_traces(3000)
    for target in (1.3, 2.0):
        policy = train_exit_network(traces, ExitSettings(), target_timesteps=target)
        spent = expected_timesteps(torch.from_numpy(policy.trace_scores(traces))).mean()
        assert float(spent) == pytest.approx(target, abs=0.15)


def test_one_network_serves_a_range_of_targets(tmp_path):
    traces = make_traces(3000)
    policy = train("exact", traces, cost_input=True)
    spent = [evaluate(policy.at_cost(cost), traces).mean_timesteps for cost in (0.01, 0.1, 0.5)]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > spent[-1] + 0.3
    for target in (1.2, 1.6, 2.2):
        found = calibrate(policy, traces, target_timesteps=target)
        own = evaluate(found, traces)
        assert own.mean_timesteps == pytest.approx(target, abs=0.01)
        assert own.accuracy > evaluate(calibrate(Confidence(), traces, target_timesteps=target), traces).accuracy - 0.01
        again = load(save(found, tmp_path / "a.safetensors"))
        assert again.cost == found.cost
        assert np.array_equal(evaluate(again, traces).exit_timesteps, own.exit_timesteps)


def test_ensembles_differ_and_a_seed_gives_the_same_network_again():
    traces = make_traces(300)
    one, two = (train("exact", traces, members=3, bootstrap=True, **QUICK) for _ in range(2))
    assert one.members == 3
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name
    assert not torch.equal(one.tensors["weight_2"][0], one.tensors["weight_2"][1])
    logits = [
        np.log(score / (1 - score))
        for score in (
            ExitNetwork(
                {n: t if n in ("mean", "scale") else t[m : m + 1] for n, t in one.tensors.items()}, "features", 4
            ).score(traces.columns("features")[:, 0])
            for m in range(3)
        )
    ]
    score = one.score(traces.columns("features")[:, 0])
    assert np.log(score / (1 - score)) == pytest.approx(np.mean(logits, axis=0), abs=1e-4)


def test_hidden_spikes_go_through_a_bottleneck(tmp_path):
    traces = full_traces()
    policy = train("exact", traces, observation="rich_hidden", bottleneck=2, dropout=0.2, **QUICK)
    F = traces.hidden.shape[-1]
    assert policy.tensors["squeeze"].shape == (1, F, 2)
    assert policy.macs == F * 2 + (traces.timesteps + 17 + 2) * 32 + 32 * 32 + 32
    again = load(save(policy, tmp_path / "a.safetensors"))
    assert isinstance(again, ExitNetwork)
    assert again.settings == policy.settings
    assert again.settings["algorithm"] == "exact"
    assert np.array_equal(evaluate(again, traces).exit_timesteps, evaluate(policy, traces).exit_timesteps)


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


def test_one_timestep_leaves_nothing_to_learn():
    traces = make_traces(30, T=1)
    assert evaluate(train("exact", traces), traces).mean_timesteps == 1


def test_progress_is_told_as_environment_steps():
    steps = []
    train("exact", make_traces(50), total_timesteps=1000, on_step=steps.append, steps=40)
    assert steps == [250, 500, 750, 1000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"members": 0}, "members, steps"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\), got 1.0"),
        ({"depth": 3}, "setting of ExitSettings, got 'depth'. Known: .*bottleneck"),
        ({"cost_input": True, "reward": "seenn"}, "reward 'linear' for a network that takes the time cost"),
    ],
)
def test_bad_arguments_are_one_sentence(traces, arguments, message):
    with pytest.raises(InputError, match=message):
        train("exact", traces, **arguments)


def test_a_cost_needs_a_network_that_takes_it(traces):
    with pytest.raises(InputError, match="takes the cost as an input"):
        train("exact", traces, steps=1).at_cost(0.1)
    with pytest.raises(InputError, match=r"time cost from 0\.003 to 1\.0"):
        train("exact", traces, steps=1, cost_input=True).at_cost(5)


def test_beliefs_are_the_final_probabilities_of_each_answer_and_average_a_samples_repeats():
    logits = np.zeros((40, 2, 3), np.float32)
    logits[:, 0, 1] = 1.0  # all say 1 first
    sure = np.where(np.arange(40) % 4 == 0, 0.5, 1.5)  # a sample's two rows are not equally sure
    logits[:, 1, 0] = sure
    labels = np.zeros(40, np.int64)
    labels[::5] = 2
    sample = np.arange(40) // 2
    traces = Traces(logits=logits, labels=labels, split="policy", sample=sample, repeat=np.arange(40) % 2)
    found = beliefs(traces)
    mean = (sure[::2] + sure[1::2]) / 2
    scale = 1 / fit_temperature(np.stack([np.repeat(mean, 2), *np.zeros((2, 40))], 1), labels)
    of_first = np.exp(scale * mean) / (np.exp(scale * mean) + 2)
    assert np.allclose(found[::2, 1], of_first, atol=1e-6)
    assert np.allclose(found[::2, 0], (1 - of_first) / 2, atol=1e-6)
    assert np.array_equal(found[::2], found[1::2])


def test_learning_from_beliefs_alone_is_as_good_as_learning_from_labels(packaged):
    calibration = packaged.select("calibration")
    from_labels, from_beliefs = (
        evaluate(train("exact", packaged, target_timesteps=1.5, distill=share), calibration) for share in (0.0, 1.0)
    )
    assert from_beliefs.mean_timesteps == pytest.approx(1.5, abs=0.01)
    assert from_beliefs.accuracy > from_labels.accuracy - 0.004


def test_distilling_is_for_the_linear_reward_and_a_share(packaged):
    with pytest.raises(InputError, match="reward 'linear' for a network that learns from beliefs, got 'seenn'"):
        train("exact", packaged, reward="seenn", distill=0.5)
    with pytest.raises(InputError, match=r"distill from 0 to 1, got 1\.5"):
        train("exact", packaged, distill=1.5)
