"""The single environment: its rules, replayed and live."""

import json

import gymnasium as gym
import numpy as np
import pytest

import backbones as bb
from seenn_env import EarlyExitEnv, record
from tests.helpers.traces import make_traces

ID = "seenn_env:seenn_env/EarlyExit-v0"


def play(env: gym.Env, seed: int, steps: int = 200) -> list:
    """Everything that a seeded random play shows."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    shown = [(observation, info)]
    for _ in range(steps):
        result = env.step(int(rng.integers(2)))
        shown.append(result)
        if result[2]:
            shown.append(env.reset())
    return shown


def same(one: list, two: list) -> bool:
    def plain(value):
        return value.tolist() if isinstance(value, np.ndarray) else value

    return all(
        [plain(x) for x in a] == [plain(x) for x in b] and len(a) == len(b) for a, b in zip(one, two, strict=True)
    )


def test_reset_runs_timestep_1_and_continuing_reaches_t(traces):
    env = EarlyExitEnv(traces)
    observation, info = env.reset(seed=0, options={"samples": 7})
    row = traces.columns("features")[7]
    assert np.array_equal(observation, row[0])
    assert info == {
        "label": traces.labels[7],
        "prediction": traces.predictions[7, 0],
        "correct": bool(traces.correct[7, 0]),
        "timestep": 1,
        "sample": 7,
    }
    for t in (2, 3):
        observation, reward, terminated, truncated, info = env.step(0)
        assert np.array_equal(observation, row[t - 1])
        assert (reward, terminated, truncated, info["timestep"]) == (0.0, False, False, t)
        assert "is_success" not in info
    observation, reward, terminated, truncated, info = env.step(0)
    assert np.array_equal(observation, row[3])
    assert (terminated, truncated, info["timestep"]) == (True, False, 4)
    assert info["is_success"] == info["correct"] == bool(traces.correct[7, 3])
    assert reward == (0.125 if info["correct"] else -1.0)


def test_exit_answers_with_the_timestep_seen(traces):
    env = EarlyExitEnv(traces, reward="seenn", reward_options={"beta": 0.5})
    for row in range(20):
        env.reset(options={"samples": row})
        env.step(0)
        _, reward, terminated, _, info = env.step(1)
        assert terminated
        assert info["prediction"] == traces.predictions[row, 1]
        assert reward == (0.5 if traces.correct[row, 1] else -0.5)


def test_with_one_timestep_either_action_exits():
    env = EarlyExitEnv(make_traces(20, T=1))
    for action in (0, 1):
        env.reset(seed=0)
        _, _, terminated, _, info = env.step(action)
        assert terminated
        assert info["timestep"] == 1


def test_a_seed_gives_the_same_play_byte_for_byte(traces):
    one, two = (play(EarlyExitEnv(traces), seed=3) for _ in range(2))
    assert same(one, two)
    assert not same(one, play(EarlyExitEnv(traces), seed=4))


def test_observations_are_copies(traces):
    env = EarlyExitEnv(traces)
    first, _ = env.reset(seed=0)
    before = traces.columns("features").copy()
    first[:] = -1
    env.step(0)[0][:] = -1
    assert np.array_equal(traces.columns("features"), before)
    assert env.step(1)[0].min() >= 0


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("observation", ["features", "logits"])
def test_replay_and_live_are_equal_in_observations_rewards_and_infos(digits, network, batch_size, dtype, observation):
    samples = digits.policy.select(slice(0, 12))
    settings = {"repeats": 2, "batch_size": batch_size, "dtype": dtype}
    replayed = EarlyExitEnv(record(network, samples, **settings), observation=observation, reward="linear")
    live = EarlyExitEnv(backbone=network, samples=samples, observation=observation, reward="linear", **settings)
    assert replayed.observation_space == live.observation_space
    assert same(play(replayed, seed=1, steps=300), play(live, seed=1, steps=300))


def test_live_steps_the_network_once_a_timestep_and_never_after_the_exit(digits, network, monkeypatch):
    step, calls = network.step, 0

    def counting(state):
        nonlocal calls
        calls += 1
        return step(state)

    monkeypatch.setattr(network, "step", counting, raising=False)
    env = EarlyExitEnv(backbone=network, samples=digits.policy)
    env.reset(seed=0)
    assert calls == 1
    env.step(0)
    assert calls == 2
    env.step(1)
    assert calls == 2


def test_live_takes_names_and_paths_through_gym_make(network, tmp_path):
    bb.save(network, tmp_path / "net.safetensors")
    env = gym.make(ID, backbone=str(tmp_path / "net.safetensors"), samples="digits", split="calibration")
    env.reset(seed=0)
    assert env.step(1)[2]
    assert json.loads(env.spec.to_json())["kwargs"]["samples"] == "digits"


def test_the_default_split_is_policy_and_test_must_be_asked_for(packaged):
    assert EarlyExitEnv(packaged).traces.split == "policy"
    with pytest.raises(bb.InputError, match="rows of split 'policy', got traces of 'test'"):
        EarlyExitEnv(packaged.select("test"))
    assert EarlyExitEnv(packaged.select("test"), split="test").traces.split == "test"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observation": "pixels"}, "observation, got 'pixels'. Known: .*features"),
        ({"reward": "sparse"}, "reward, got 'sparse'. Known: .*linear, seenn"),
        (
            {"reward": "seenn", "reward_options": {"cost": 1}},
            "known option of the reward 'seenn', got 'cost'. Known: beta",
        ),
        ({"reward_options": {"beta": -1}}, "beta to be a number of 0 or more, got -1"),
        ({"reward": "linear", "reward_options": {"cost": -1}}, "cost to be a number of 0 or more, got -1"),
        ({"split": "dev"}, "split, got 'dev'"),
        ({"samples": "digits"}, "got samples alone: pass backbone"),
        ({"traces": "mnist"}, "got 'mnist'"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message):
    with pytest.raises(bb.InputError, match=message):
        EarlyExitEnv(**arguments)


def test_bad_steps_are_one_sentence(traces, network, digits):
    env = EarlyExitEnv(traces)
    with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\) before step"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(bb.InputError, match=r"action 0 \(continue\) or 1 \(exit\), got 2"):
        env.step(2)
    env.step(1)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)
    with pytest.raises(bb.InputError, match=r"a row in 0…599, got 600"):
        env.reset(options={"samples": 600})
    with pytest.raises(bb.InputError, match="either traces, or a backbone and samples, got traces and a backbone"):
        EarlyExitEnv(traces, backbone=network, samples=digits.policy)
    with pytest.raises(bb.InputError, match="samples for the backbone to run on, got none: pass samples"):
        EarlyExitEnv(backbone=network)


def test_live_refuses_logits_that_are_not_finite(digits):
    import torch

    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    with torch.no_grad():
        network.head[-1].bias[0] = torch.inf
    with pytest.raises(bb.InputError, match="NaN or infinity for sample"):
        EarlyExitEnv(backbone=network, samples=digits.policy).reset(seed=0)


def test_traces_and_paths_are_taken_too(traces, tmp_path):
    path = traces.save(tmp_path / "a.safetensors")
    for given in (path, str(path)):
        assert same(play(EarlyExitEnv(traces), 0), play(EarlyExitEnv(given), 0))
