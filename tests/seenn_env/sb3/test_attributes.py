"""Seeds, options, attributes, methods and frames reach the rows; mistakes are explained."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor

from backbones.errors import InputError
from seenn_env.sb3.vec_env import to_sb3
from tests.helpers.rows import Counter, cartpole


def test_seeds_reproduce_and_are_used_once():
    adapter = to_sb3(cartpole(3))
    adapter.seed(7)
    first, second = adapter.reset(), adapter.reset()
    adapter.seed(7)
    np.testing.assert_array_equal(adapter.reset(), first)
    np.testing.assert_array_equal(adapter.reset(), second)
    assert not np.array_equal(first, second)


def test_options_reach_the_next_reset_and_only_that_one():
    adapter = to_sb3(cartpole(3))
    adapter.set_options([{"low": 0.9, "high": 0.91}] * 3)
    assert adapter.reset().min() >= 0.9
    assert adapter.reset().max() <= 0.05
    with pytest.raises(ValueError, match="Expected the same options for every row"):
        adapter.set_options([{"low": 0.9}, {"low": 0.8}, {"low": 0.9}])


def test_attributes_and_methods_reach_sub_environments():
    adapter = to_sb3(SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 3))
    adapter.set_attr("gravity", 1.5, indices=[0, 2])
    assert adapter.get_attr("gravity") == [1.5, 9.8, 1.5]
    assert adapter.get_attr("gravity", indices=1) == [9.8]
    assert adapter.env_method("has_wrapper_attr", "gravity", indices=[1]) == [True]
    assert callable(adapter.get_attr("step")[0])
    assert adapter.has_attr("gravity")
    assert not adapter.has_attr("levity")


def test_attributes_and_methods_reach_processes_and_a_missing_one_harms_none():
    adapter = to_sb3(AsyncVectorEnv([lambda: Monitor(gym.make("CartPole-v1"))] * 2))
    assert not adapter.has_attr("levity")
    adapter.set_attr("gravity", 1.5)
    assert adapter.get_attr("gravity", indices=[1]) == [1.5]
    assert adapter.env_method("has_wrapper_attr", "gravity") == [True, True]
    with pytest.raises(ValueError, match="Expected indices=None, as AsyncVectorEnv reaches all rows"):
        adapter.set_attr("gravity", 2.0, indices=[0])
    assert adapter.env_is_wrapped(gym.wrappers.TimeLimit) == [True, True]
    assert adapter.env_is_wrapped(gym.wrappers.ClipAction) == [False, False]
    assert adapter.reset().shape == (2, 4)
    adapter.close()
    adapter.close()


def test_attributes_and_methods_of_a_native_environment_are_those_of_every_row():
    adapter = to_sb3(RecordEpisodeStatistics(Counter()))
    adapter.set_attr("speed", 3)
    assert adapter.get_attr("speed", indices=[0, 3]) == [3, 3]
    assert adapter.vector_env.unwrapped.speed == 3
    assert adapter.get_attr("episode_count") == [0] * 4
    assert adapter.env_method("levels") == [0, 10, 20, 30]
    assert not adapter.has_attr("levity")
    with pytest.raises(ValueError, match=r"as Counter reaches all rows at once, got \[1\]"):
        adapter.env_method("levels", indices=[1])


def test_wrappers_are_reported_as_they_are():
    sync = to_sb3(SyncVectorEnv([lambda: gym.make("CartPole-v1"), lambda: gym.make("CartPole-v1").unwrapped]))
    assert sync.env_is_wrapped(gym.wrappers.TimeLimit) == [True, False]
    assert sync.env_is_wrapped(Monitor, indices=[1]) == [True]
    assert to_sb3(Counter()).env_is_wrapped(RecordEpisodeStatistics) == [False] * 4
    assert to_sb3(RecordEpisodeStatistics(Counter())).env_is_wrapped(RecordEpisodeStatistics) == [True] * 4


@pytest.mark.parametrize("vectorize", [SyncVectorEnv, AsyncVectorEnv])
def test_a_monitor_in_the_sub_environments_keeps_its_figures(vectorize):
    def make():
        return gym.wrappers.TransformReward(Monitor(gym.make("CartPole-v1")), lambda reward: 100 * reward)

    adapter = to_sb3(vectorize([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    adapter.reset()
    infos: list[dict] = [{}]
    while not any(infos):
        _, rewards, _, infos = adapter.step(np.ones(2, int))
    adapter.close()
    episode = next(info["episode"] for info in infos if info)
    assert rewards[0] == 100
    assert episode["r"] == episode["l"]


def test_frames_are_tiled_and_closing_twice_is_harmless():
    adapter = to_sb3(Counter())
    assert adapter.render_mode == "rgb_array"
    assert adapter.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert adapter.render()[:, :, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    adapter.close()
    adapter.close()
    assert adapter.vector_env.closings == 1


def test_mistakes_are_explained():
    with pytest.raises(InputError, match="Expected vector_env to be a VectorEnv, got a TimeLimit"):
        to_sb3(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="Expected the name of a known value of infos, got 'some'"):
        to_sb3(Counter(), infos="some")
    silent = Counter()
    silent.metadata = {}
    with pytest.raises(ValueError, match=r"Expected metadata\['autoreset_mode'\]"):
        to_sb3(silent)
    forgetful = cartpole(1)
    forgetful.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    adapter = to_sb3(forgetful)
    adapter.set_options({"low": 3.0, "high": 4.0})
    adapter.reset()
    with pytest.raises(KeyError, match=r"Expected infos\['final_obs'\]"):
        adapter.step(np.ones(1, int))
