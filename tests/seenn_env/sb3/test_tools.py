"""Stable-baselines3's evaluation, wrappers and algorithms take the adapter as one of their own."""

import warnings

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from seenn_env.sb3.vec_env import to_sb3
from tests.helpers.rows import Counter, cartpole


class AlwaysRight:
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.ones(len(observation), dtype=np.int64), state


@pytest.fixture
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_evaluate_policy_counts_exactly_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards, lengths = evaluate_policy(
            AlwaysRight(), to_sb3(Counter()), n_eval_episodes=8, return_episode_rewards=True
        )
    assert sorted(lengths) == [2, 2, 3, 3, 4, 4, 5, 5]
    assert rewards == lengths


def test_eval_callback_reports_successes_and_does_not_warn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        callback = EvalCallback(to_sb3(Counter()), eval_freq=8, n_eval_episodes=4, log_path=str(tmp_path), verbose=0)
        PPO("MlpPolicy", to_sb3(Counter()), n_steps=8, batch_size=32, device="cpu").learn(32, callback=callback)
    evaluations = np.load(tmp_path / "evaluations.npz")
    assert evaluations["ep_lengths"].sum(axis=1).tolist() == [14]
    assert evaluations["successes"].sum(axis=1).tolist() == [2]


def test_vec_normalize_normalises_terminal_observations_on_top():
    raw, normalized = to_sb3(cartpole(4)), VecNormalize(to_sb3(cartpole(4)), norm_reward=False)
    for adapter in (raw, normalized):
        adapter.seed(1)
        adapter.reset()
    num_episodes = 0
    for _ in range(40):
        raw_obs, _, dones, raw_infos = raw.step(np.ones(4, int))
        obs, _, _, infos = normalized.step(np.ones(4, int))
        np.testing.assert_array_equal(normalized.get_original_obs(), raw_obs)
        np.testing.assert_allclose(obs, normalized.normalize_obs(raw_obs))
        for index in np.flatnonzero(dones):
            num_episodes += 1
            expected = normalized.normalize_obs(raw_infos[index]["terminal_observation"])
            np.testing.assert_allclose(infos[index]["terminal_observation"], expected)
    assert num_episodes > 4


def test_vec_monitor_on_top_counts_the_same():
    inner = to_sb3(cartpole(4))
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(inner)
    monitored.reset()
    pairs = []
    step_wait = inner.step_wait

    def spy():
        result = step_wait()
        pairs.extend(dict(info["episode"]) for info in result[3] if info)
        return result

    inner.step_wait = spy
    counted = []
    for _ in range(60):
        counted += [info["episode"] for info in monitored.step(np.ones(4, int))[3] if info]
    assert len(counted) > 8
    assert [(e["r"], e["l"]) for e in counted] == [(e["r"], e["l"]) for e in pairs]


@pytest.mark.usefixtures("_one_thread")
def test_dqn_stores_last_observations_not_the_next_episodes_first():
    env = to_sb3(cartpole(4, max_episode_steps=9))
    model = DQN("MlpPolicy", env, buffer_size=1000, learning_starts=1000, device="cpu", seed=0).learn(200)
    buffer, size = model.replay_buffer, model.replay_buffer.pos
    done = buffer.dones[:size].astype(bool)
    truncated = buffer.timeouts[:size].astype(bool)
    assert truncated.any()
    assert not (truncated & ~done).any()
    assert (np.abs(buffer.next_observations[:size][done]).max(axis=1) > 0.06).all()
    assert (np.abs(buffer.observations[1:size][done[: size - 1]]).max(axis=1) <= 0.05).all()


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
def test_ppo_learns_cartpole():
    settings = {"n_steps": 32, "batch_size": 256, "n_epochs": 10, "gae_lambda": 0.8, "gamma": 0.98}
    env = to_sb3(cartpole(8))
    model = PPO("MlpPolicy", env, learning_rate=1e-3, device="cpu", seed=0, **settings)
    model.learn(2_000)
    early = np.mean([episode["r"] for episode in model.ep_info_buffer])
    model.learn(25_000, reset_num_timesteps=False)
    late = np.mean([episode["r"] for episode in model.ep_info_buffer])
    mean_return, _ = evaluate_policy(model, env, n_eval_episodes=16, deterministic=False)
    assert early < 40
    assert min(late, mean_return) > 80
