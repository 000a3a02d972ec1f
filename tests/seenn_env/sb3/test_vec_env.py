"""Any vector environment equals stable-baselines3's own, step for step, and hands out copies."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from seenn_env.sb3.vec_env import to_sb3
from tests.helpers.rows import Counter

MODES = [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP]


class Climb(gym.Env):
    """Climbs by 0, 1 or 2; terminates at the top, truncates after eight steps; infos of every kind."""

    action_space = spaces.Discrete(3)

    def __init__(self, kind="dict"):
        height, clock = spaces.Box(0, 20, (2,)), spaces.Discrete(10)
        self.observation_space = {
            "dict": spaces.Dict({"height": height, "clock": clock}),
            "tuple": spaces.Tuple((height, clock)),
            "discrete": clock,
        }[kind]
        self.kind = kind

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.clock = int(self.np_random.integers(4)), 0
        return self._observation(), {"start": self.height}

    def step(self, action):
        self.height, self.clock = self.height + int(action), self.clock + 1
        terminated, truncated = self.height >= 10, self.clock >= 8
        info = {
            "height": self.height,
            "name": f"at {self.height}",
            "pair": np.array([self.height, self.clock]),
            "nested": {"clock": self.clock, "top": terminated},
        }
        if terminated:
            info["is_success"] = True
        return self._observation(), 1000 / 3 * self.height, terminated, truncated, info

    def _observation(self):
        height, clock = np.full(2, self.height, np.float32), self.clock
        return {"dict": {"height": height, "clock": clock}, "tuple": (height, clock), "discrete": clock}[self.kind]


def equal(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return np.array_equal(left, right)


def check_step_for_step(env_fn, vector_env, num_steps):
    """The adapter and SB3's own vector environment of monitored environments agree in everything."""
    num_envs = vector_env.num_envs
    ours, theirs = to_sb3(vector_env), DummyVecEnv([lambda: Monitor(env_fn())] * num_envs)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    ours.action_space.seed(5)
    assert ours.seed(3) == theirs.seed(3)
    assert equal(ours.reset(), theirs.reset())
    num_episodes = 0
    for _ in range(num_steps):
        assert equal(tuple(ours.reset_infos), tuple(theirs.reset_infos))
        actions = np.array([ours.action_space.sample() for _ in range(num_envs)])
        (obs, rewards, dones, infos), expected = ours.step(actions), theirs.step(actions)
        assert equal(obs, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        assert rewards.dtype == np.float32
        assert dones.dtype == bool
        for done, info, expected_info in zip(dones, infos, expected[3], strict=True):
            if not done:
                assert info == {}
                continue
            num_episodes += 1
            episode, expected_episode = info.pop("episode"), expected_info.pop("episode")
            assert equal(info, expected_info)
            assert episode["r"] == pytest.approx(expected_episode["r"], abs=2e-6)
            assert episode["l"] == expected_episode["l"]
            assert [type(episode[key]) for key in "rlt"] == [float, int, float]
            assert type(info["TimeLimit.truncated"]) is bool
    ours.close()
    theirs.close()
    assert num_episodes > 2 * num_envs


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "env_fn",
    [
        lambda: gym.make("CartPole-v1"),
        lambda: gym.make("CartPole-v1", max_episode_steps=15),
        lambda: gym.make("MountainCarContinuous-v0", max_episode_steps=17),
        lambda: gym.make("FrozenLake-v1"),
        lambda: Climb("dict"),
        lambda: Climb("tuple"),
        lambda: Climb("discrete"),
    ],
    ids=["cartpole", "cartpole truncated", "mountain car", "frozen lake", "dict", "tuple", "discrete"],
)
def test_every_autoreset_mode_equals_dummy_vec_env_step_for_step(env_fn, mode):
    check_step_for_step(env_fn, SyncVectorEnv([env_fn] * 3, autoreset_mode=mode), num_steps=200)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_processes_equal_dummy_vec_env_step_for_step(mode):
    check_step_for_step(Climb, AsyncVectorEnv([Climb] * 2, autoreset_mode=mode), num_steps=60)


def test_a_vector_environment_that_reuses_its_buffer_equals_dummy_vec_env():
    check_step_for_step(
        Climb, SyncVectorEnv([Climb] * 3, copy=False, autoreset_mode=AutoresetMode.DISABLED), num_steps=60
    )


def test_observations_and_rewards_belong_to_the_caller():
    adapter = to_sb3(Counter())
    first = adapter.reset()
    second, rewards, _, _ = adapter.step(np.zeros(4, int))
    rewards += 100
    second += 100
    third, rewards, _, infos = adapter.step(np.zeros(4, int))
    np.testing.assert_array_equal(first[:, 0], [0, 0, 0, 0])
    np.testing.assert_array_equal(third[:, 0], [0, 2, 2, 2])
    np.testing.assert_array_equal(rewards, [1, 1, 1, 1])
    assert infos[0]["episode"]["r"] == 2.0
    adapter.step(np.zeros(4, int))
    np.testing.assert_array_equal(infos[0]["terminal_observation"], [2])


def test_final_infos_become_python_values_of_the_finished_rows_only():
    adapter = to_sb3(Counter())
    adapter.reset()
    assert adapter.reset_infos == [{"version": 3}] * 4
    adapter.step(np.zeros(4, int))
    _, _, dones, infos = adapter.step(np.zeros(4, int))
    assert dones.tolist() == [True, False, False, False]
    assert infos[1:] == [{}, {}, {}]
    assert infos[0].keys() == {
        "is_success", "count", "version", "terminal_observation", "TimeLimit.truncated", "episode",
    }  # fmt: skip
    assert (infos[0]["is_success"], infos[0]["count"], infos[0]["version"]) == (True, 2.0, 3)
    assert type(infos[0]["is_success"]) is bool
    assert infos[0]["TimeLimit.truncated"] is False
    infos[1]["mine"] = 1
    assert adapter.step(np.zeros(4, int))[3][2] == {}


def test_infos_of_all_rows_are_an_option():
    adapter = to_sb3(Counter(), infos="all")
    adapter.reset()
    adapter.step(np.zeros(4, int))
    _, _, _, infos = adapter.step(np.zeros(4, int))
    assert infos[2] == {"count": 2.0, "shown": 2.0, "TimeLimit.truncated": False}
    assert infos[0]["episode"]["l"] == 2
    assert "shown" not in infos[0]  # it is about the next episode
    assert adapter.reset_infos[0]["shown"] == 0.0
