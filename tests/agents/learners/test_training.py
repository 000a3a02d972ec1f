"""PPO learns on the policy split only, and its policies are saved and loaded."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import agents
import backbones as bb
import seenn_env
from agents import Confidence, Margin, Oracle, PerTimestep, Uniform, calibrate, load, save, train
from agents.learners import LearnedPolicy
from agents.rules.thresholds import Entropy, FixedTimestep
from backbones import InputError
from seenn_env import Traces, evaluate
from seenn_env.observations import Observation
from seenn_env.rewards import LinearReward
from tests.helpers.programs import ROOT
from tests.helpers.traces import make_traces, own_columns, trivial

SHORT = {"total_timesteps": 120_000}


@pytest.mark.parametrize(("right_from", "timestep"), [(1, 1), (3, 3)])
def test_ppo_learns_trivial_traces(right_from, timestep):
    traces = trivial(right_from)
    policy = train("ppo", traces, **SHORT)
    result = evaluate(policy, traces)
    assert result.accuracy == 1
    assert result.mean_timesteps == pytest.approx(timestep, abs=0.02)


def test_a_seed_gives_the_same_ppo_policy_again(packaged):
    one, two = (train("ppo", packaged, seed=1, total_timesteps=5000) for _ in range(2))
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, two.network.state_dict()[name]), name
    assert one.threshold == two.threshold


def test_ppo_on_digits_is_ahead_of_plain_confidence(packaged):
    calibration, test = packaged.select("calibration"), packaged.select("test")
    one = train("ppo", packaged, target_timesteps=1.5, seed=1, **SHORT)
    assert evaluate(one, calibration).mean_timesteps == pytest.approx(1.5, abs=0.01)
    rule = calibrate(Confidence(), calibration, target_timesteps=1.5)
    assert evaluate(one, test).accuracy > evaluate(rule, test).accuracy
    assert evaluate(one, test).accuracy <= evaluate(Oracle(), test).accuracy


def test_training_reaches_nearly_the_reward_of_the_best_rule(packaged):
    traces = packaged.select("policy")
    reward = LinearReward(0.1)
    policy = train("ppo", traces, **SHORT)
    learned = evaluate(policy, traces, reward=reward).rewards.mean()
    rule = max(
        evaluate(calibrate(PerTimestep(Margin()), traces, target_timesteps=t), traces, reward=reward).rewards.mean()
        for t in (1.3, 1.5, 1.7, 2.0, 2.5)
    )
    assert learned > rule - 0.007


def test_training_reads_the_policy_split_only(packaged):
    whole = train("ppo", packaged, total_timesteps=16_384)
    alone = train("ppo", packaged.select("policy"), total_timesteps=16_384)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, alone.network.state_dict()[name])
    for split in ("test", "calibration"):
        with pytest.raises(InputError, match=f"rows of split 'policy', got traces of '{split}'"):
            train("ppo", packaged.select(split))
    with pytest.raises(InputError, match="rows of split 'calibration', got traces of 'policy'"):
        train("ppo", packaged.select("policy"), target_timesteps=1.5)


def test_the_number_of_torch_threads_is_set_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train("ppo", make_traces(50), total_timesteps=1024)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_training_logs_to_tensorboard_and_reports_steps(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps = []
    train("ppo", make_traces(50), total_timesteps=40_000, log_dir=tmp_path, on_progress=steps.append)
    log = EventAccumulator(str(tmp_path / "ppo-seed0"))
    log.Reload()
    assert {"rollout/ep_rew_mean", "rollout/success_rate", "train/loss"} <= set(log.Tags()["scalars"])
    assert steps == sorted(steps)
    assert steps[-1] == 1


POLICIES = [
    Confidence(0.7),
    Entropy(0.2),
    Margin(0.3),
    FixedTimestep(3),
    Uniform(5),
    Oracle(),
    PerTimestep(Margin(), (0.9, 0.5, 0.1), 0.05),
]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_rules_come_back_from_a_file_as_they_were(policy, tmp_path):
    assert load(save(policy, tmp_path / "a.safetensors")) == policy


def test_a_learned_policy_comes_back_and_does_the_same(traces, tmp_path):
    policy = train("ppo", traces, total_timesteps=20_000, observation="logits", policy_kwargs={"net_arch": [8]})
    policy = policy.at_level(0.31)
    again = load(save(policy, tmp_path / "a.safetensors"))
    assert isinstance(again, LearnedPolicy)
    assert again.settings == policy.settings
    assert again.settings["algorithm"] == "ppo"
    assert (again.threshold, again.observation) == (0.31, "logits")
    one, two = evaluate(policy, traces), evaluate(again, traces)
    assert np.array_equal(one.exit_timesteps, two.exit_timesteps)
    assert 1 < one.mean_timesteps < 4


def test_a_learned_policy_can_also_draw_its_actions(traces):
    policy = train("ppo", traces, total_timesteps=2_000)
    torch.manual_seed(0)
    columns = traces.columns("features")[:, 0]
    actions, _ = policy.predict(np.repeat(columns, 20, axis=0), deterministic=False)
    assert actions.mean() == pytest.approx(policy.score(columns).mean(), abs=0.03)


def test_files_that_are_no_policies_are_refused(tmp_path, traces):
    with pytest.raises(InputError, match="found nothing at"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"Expected a policy file .*, got format 'seenn_env.traces"):
        load(traces.save(tmp_path / "traces.safetensors"))
    file = save(Confidence(), tmp_path / "a.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match="is not whole"):
        load(file)
    with pytest.raises(InputError, match=r"Expected policy to be .*, got an object"):
        save(object(), tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithm": "sarsa"}, "algorithm, got 'sarsa'. Known: .*ppo"),
        ({"algorithm": "ppo", "total_timesteps": 0}, "total_timesteps to be a whole number of 1 or more .*, got 0"),
        ({"algorithm": "ppo", "observation": "pixels"}, "observation, got 'pixels'"),
        ({"algorithm": "ppo", "reward": "sparse"}, "reward, got 'sparse'"),
        ({"algorithm": "exact", "total_timesteps": 5}, "no total_timesteps for 'exact', which runs no environment"),
        ({"algorithm": "exact", "penalty": 5.0}, "setting of 'exact', got 'penalty'. Known: batch_size, .*entropy"),
        ({"algorithm": "optimal-stopping", "rounds": 5}, "setting of 'optimal-stopping', got 'rounds'. Known: "),
        (
            {"algorithm": "ppo", "epochs": 5},
            "argument of 'ppo', got 'epochs'. Known: batch_size, .*n_epochs, .*num_envs",
        ),
        ({"algorithm": "dqn", "device": "cpu"}, "argument of 'dqn', got 'device'. Known: .*buffer_size"),
        ({"algorithm": "ppo", "n_epochs": "many"}, "with which 'ppo' can train, got n_epochs='many', but 'str'"),
        ({"algorithm": "ppo", "n_epochs": 0}, "with which 'ppo' can train, got n_epochs=0, but "),
        ({"algorithm": "ppo", "batch_size": 1}, "with which 'ppo' can train, got batch_size=1, but "),
        ({"algorithm": "dqn", "gamma": "x", "learning_starts": 1}, "with which 'dqn' can train, got .*gamma='x'"),
    ],
)
def test_bad_arguments_are_one_sentence(traces, arguments, message):
    with pytest.raises(InputError, match=message):
        train(traces=traces, **arguments)


@pytest.mark.parametrize(
    ("algorithm", "observation"),
    [
        *((algorithm, own_columns) for algorithm in ("ppo", "exact", "optimal-stopping")),
        pytest.param("dqn", own_columns, marks=pytest.mark.slow),
        ("exact", "tests.helpers.traces:own_columns"),
    ],
)
def test_a_users_own_observation_is_read_in_training_calibration_and_evaluation(algorithm, observation, tmp_path):
    traces = Traces.merge(make_traces(600, seed=1), make_traces(600, split="calibration", seed=2))
    calibration = traces.select("calibration")
    settings = {"total_timesteps": 20_000, "num_envs": 64} if algorithm in ("ppo", "dqn") else {}
    settings |= {"learning_starts": 500} if algorithm == "dqn" else {}
    policy = train(algorithm, traces, observation=observation, target_timesteps=1.8, **settings)
    assert policy.observation is observation
    found = evaluate(policy, calibration)
    assert found.mean_timesteps == pytest.approx(1.8, abs=0.05)
    assert found.accuracy > calibration.accuracy[0] + 0.02
    if observation is own_columns:
        with pytest.raises(InputError, match="by name, your own as 'module:name'"):
            save(policy, tmp_path / "policy.safetensors")
    else:
        again = load(save(policy, tmp_path / "policy.safetensors"))
        assert np.array_equal(evaluate(again, calibration).exit_timesteps, found.exit_timesteps)


def test_an_observation_without_the_timestep_is_refused_where_it_is_needed():
    def blind(shape):
        made = own_columns(shape)
        return Observation("blind", shape.timesteps, ("t", "largest"), made.low, made.high, made.columns)

    for algorithm in ("exact", "optimal-stopping"):
        with pytest.raises(
            InputError, match=r"a column 'elapsed' \(timestep / T\) of observation 'blind', got t, largest"
        ):
            train(algorithm, make_traces(100), observation=blind)

    class Own(Margin):
        observation = "tests.helpers.traces:own_columns"

        def score(self, observation):
            return observation[:, 0]

    with pytest.raises(InputError, match="an observation of this package, which says the timestep"):
        PerTimestep(Own(), (0.5, 0.5, 0.5)).predict(np.zeros((2, 2)))


def test_a_policy_whose_observation_is_a_method_is_refused(traces):
    class Wrong:
        observation = own_columns

        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return np.ones(len(observation), int), None

    class Right(Wrong):
        observation = staticmethod(own_columns)

    with pytest.raises(InputError, match="make it a staticmethod"):
        evaluate(Wrong(), traces)
    assert evaluate(Right(), traces).mean_timesteps == 1


def test_a_cost_beside_a_target_that_searches_it_is_refused():
    traces = seenn_env.Traces.merge(make_traces(60), make_traces(60, split="calibration", seed=1))
    with pytest.raises(bb.InputError, match="no cost of the reward with a target"):
        agents.train("optimal-stopping", traces, target_timesteps=1.5, reward_options={"cost": 0.1})


@pytest.mark.parametrize("algorithm", ["ppo", "exact"])
def test_a_target_out_of_range_is_refused_before_any_training(algorithm, packaged):
    steps = []
    with pytest.raises(InputError, match=r"target_timesteps from 1 to T = 8, got 0\.5"):
        train(algorithm, packaged, target_timesteps=0.5, on_progress=steps.append)
    assert not steps


def test_stable_baselines3_scikit_learn_and_tensorboard_are_imported_by_those_who_use_them():
    slow = ["stable_baselines3", "sb3_contrib", "sklearn", "tensorboard"]
    code = f"""
import sys, agents, seenn_env
traces = seenn_env.Traces.load("digits")
agents.train("exact", traces, steps=2)
for name in ("exact", "optimal-stopping", "best-rule"):
    agents.calibrate(agents.load("digits/" + name), traces.select("calibration"), target_timesteps=1.5)
print([name for name in {slow} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
