"""Rows restart in the step that ends them where they can be reset alone, or show their reset as it is."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers.vector import NormalizeReward, RecordEpisodeStatistics
from stable_baselines3.common.vec_env import VecNormalize

from seenn_env.sb3.vec_env import to_sb3
from tests.helpers.rows import UnknownCartPole, cartpole


def test_rows_that_can_be_reset_alone_are_their_own_trajectory_without_the_reset_steps():
    bare, adapter = cartpole(1), to_sb3(cartpole(1))
    adapter.seed(11)
    np.testing.assert_array_equal(adapter.reset(), bare.reset(seed=11)[0])
    rng, num_episodes = np.random.default_rng(0), 0
    for _ in range(300):
        actions = rng.integers(2, size=1)
        obs, rewards, dones, infos = adapter.step(actions)
        expected, expected_rewards, terminated, truncated, _ = bare.step(actions)
        np.testing.assert_array_equal(rewards, expected_rewards)
        assert dones == (terminated | truncated)
        if dones[0]:
            num_episodes += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], expected[0])
            expected = bare.step(actions)[0]
        np.testing.assert_array_equal(obs, expected)
    assert num_episodes > 5


@pytest.mark.parametrize("max_episode_steps", [12, 500])
def test_rows_follow_the_dynamics_while_others_restart(max_episode_steps):
    adapter = to_sb3(cartpole(8, max_episode_steps=max_episode_steps))
    oracle = CartPoleVectorEnv(8)
    oracle.reset()
    adapter.seed(0)
    obs, ages, rng, num_truncated = adapter.reset(), np.zeros(8, int), np.random.default_rng(1), 0
    for _ in range(100):
        oracle.state, oracle.prev_done[:] = obs.T.astype(np.float64), False
        actions = rng.integers(2, size=8)
        expected, _, terminated, _, _ = oracle.step(actions)
        obs, rewards, dones, infos = adapter.step(actions)
        ages += 1
        reached = np.array([info.get("terminal_observation", obs[index]) for index, info in enumerate(infos)])
        np.testing.assert_allclose(reached, expected, atol=1e-5)
        np.testing.assert_array_equal(rewards, np.ones(8))
        np.testing.assert_array_equal(dones, terminated | (ages >= max_episode_steps))
        assert np.abs(obs[dones]).max(initial=0) <= 0.05
        assert [infos[index]["episode"]["l"] for index in np.flatnonzero(dones)] == ages[dones].tolist()
        num_truncated += sum(info.get("TimeLimit.truncated", False) for info in infos)
        ages[dones] = 0
    assert (num_truncated > 20) == (max_episode_steps == 12)


def test_rows_under_wrappers_reset_in_the_same_step_too():
    ours, plain = to_sb3(NormalizeReward(RecordEpisodeStatistics(cartpole(4)))), to_sb3(cartpole(4))
    for adapter in (ours, plain):
        adapter.seed(2)
    np.testing.assert_array_equal(ours.reset(), plain.reset())
    lengths, rng = [], np.random.default_rng(0)
    for _ in range(150):
        actions = rng.integers(2, size=4)
        obs, _, dones, infos = ours.step(actions)
        expected, _, expected_dones, expected_infos = plain.step(actions)
        np.testing.assert_array_equal(obs, expected)
        np.testing.assert_array_equal(dones, expected_dones)
        ended = [info["episode"]["l"] for info in infos if info]
        assert ended == [info["episode"]["l"] for info in expected_infos if info]
        lengths += ended
    assert len(lengths) > 10


def test_a_row_that_cannot_be_reset_alone_shows_its_reset_as_an_episode_of_its_own():
    with pytest.warns(UserWarning, match="UnknownCartPole resets rows in the step after their last"):
        adapter = to_sb3(UnknownCartPole(3, max_episode_steps=12))
    bare = UnknownCartPole(3, max_episode_steps=12)
    adapter.seed(4)
    last, _ = adapter.reset(), bare.reset(seed=4)
    rng, extra, ages = np.random.default_rng(0), np.zeros(3, bool), np.zeros(3, int)
    num_terminated, num_truncated, was_truncated = 0, 0, extra
    for _ in range(120):
        actions = (rng.random(3) < 0.8).astype(int)
        obs, rewards, dones, infos = adapter.step(actions)
        expected, _, terminated, truncated, _ = bare.step(actions)
        np.testing.assert_array_equal(obs, expected)
        np.testing.assert_array_equal(rewards, np.where(extra, 0, 1))
        np.testing.assert_array_equal(dones, terminated | truncated | extra)
        ages = np.where(extra, 0, ages + 1)
        for index in np.flatnonzero(dones):
            info = infos[index]
            if extra[index]:
                assert info.keys() == {"terminal_observation", "TimeLimit.truncated"}
                np.testing.assert_array_equal(info["terminal_observation"], last[index])
                assert info["TimeLimit.truncated"] == was_truncated[index]
            else:
                assert (info["episode"]["l"], info["episode"]["r"]) == (ages[index], ages[index])
                assert info["TimeLimit.truncated"] == (truncated & ~terminated)[index]
                num_terminated += terminated[index]
                num_truncated += truncated[index]
        last, extra, was_truncated = obs, terminated | truncated, truncated & ~terminated
    assert min(num_terminated, num_truncated) > 3


def test_a_reset_in_the_middle_starts_everything_afresh():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        adapter = to_sb3(UnknownCartPole(1))
    adapter.reset()
    for _ in range(2):
        lengths, dones = 0, [False]
        while not dones[0]:
            _, _, dones, infos = adapter.step(np.ones(1, int))
            lengths += 1
        assert infos[0]["episode"]["r"] == infos[0]["episode"]["l"] == lengths
        adapter.reset()  # the extra step is no longer due
        assert not adapter.step(np.ones(1, int))[2][0]
        adapter.reset()  # nor does that step count


def test_the_extra_step_survives_wrappers_that_rewrite_terminal_observations():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        plain = to_sb3(UnknownCartPole(1))
    normalized = VecNormalize(plain, training=False)
    normalized.obs_rms.mean[:] = 5.0
    normalized.reset()
    dones = [False]
    while not dones[0]:
        obs, _, dones, _ = normalized.step(np.array([1]))
    _, _, dones, infos = normalized.step(np.array([1]))
    assert dones[0]
    np.testing.assert_allclose(infos[0]["terminal_observation"], obs[0])


def test_processes_without_shared_memory_that_reset_in_the_next_step_are_recognised():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        adapter = to_sb3(AsyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, shared_memory=False))
    adapter.reset()
    lengths, num_steps = [], 0
    while len(lengths) < 8:
        _, _, _, infos = adapter.step(np.ones(2, int))
        num_steps += 1
        lengths += [info["episode"]["l"] for info in infos if "episode" in info]
    adapter.close()
    assert set(lengths) <= set(range(8, 12))  # pushing right always falls within these
    assert num_steps >= sum(lengths) / 2 + 3


@pytest.mark.parametrize("by", ["the user", "the environment"])
def test_partial_reset_can_be_promised(by):
    class Promised(UnknownCartPole):
        metadata = UnknownCartPole.metadata | ({"partial_reset": True} if by == "the environment" else {})

        def reset(self, *, seed=None, options=None):
            mask = (options or {}).get("reset_mask")
            if mask is None:
                return super().reset(seed=seed)
            self.state[:, mask], self.steps[mask], self.prev_done[mask] = 0.01, 0, False
            return self.state.T.astype(np.float32), {"again": mask}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter = to_sb3(Promised(2), partial_reset=True if by == "the user" else None)
    adapter.reset()
    dones = np.zeros(2, bool)
    while not dones.any():
        obs, _, dones, _ = adapter.step(np.ones(2, int))
    index = int(dones.argmax())
    np.testing.assert_allclose(obs[index], 0.01)
    assert adapter.reset_infos[index] == {"again": True}
