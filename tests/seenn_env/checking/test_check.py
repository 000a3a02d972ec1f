"""The checker of vector environments passes Gymnasium's and a plain correct one, and finds Gymnasium's own defects."""

import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from seenn_env.checking.check import check_vector_env
from seenn_env.checking.results import VectorEnvError
from tests.helpers.counting import DISABLED, NEXT, SAME, Count, CountVector

MODES = pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda mode: mode.name)


@MODES
def test_a_correct_native_environment_passes(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_vector_env(partial(CountVector, mode), lambda row: Count())
        check_vector_env(partial(CountVector, mode))


@MODES
def test_one_row_is_enough(mode):
    check_vector_env(partial(CountVector, mode, num_envs=1), lambda row: Count(), steps=50)


def make_cartpole(row=0):
    return gym.make("CartPole-v1")


@MODES
def test_gymnasiums_sync_vector_env_passes(mode):
    check_vector_env(partial(SyncVectorEnv, [make_cartpole] * 3, autoreset_mode=mode), make_cartpole)


@MODES
def test_gymnasiums_async_vector_env_passes_with_two_processes(mode):
    make_vector = partial(AsyncVectorEnv, [make_cartpole] * 2, autoreset_mode=mode)
    check_vector_env(make_vector, make_cartpole, steps=60)


@pytest.mark.skipif(gym.__version__ != "1.4.0", reason="defects of Gymnasium 1.4.0")
@pytest.mark.parametrize(
    ("make_vector", "match"),
    [
        pytest.param(
            lambda: gym.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv([make_cartpole] * 3)),
            r"mask infos\['episode'\]\['_r'\]",
            id="RecordEpisodeStatistics-nests-infos-without-masks",
        ),
        pytest.param(
            lambda: AsyncVectorEnv([make_cartpole] * 2, shared_memory=False),
            "second reset with one seed to give the same again at call 1",
            id="AsyncVectorEnv-without-shared-memory-resets-an-ended-row-twice",
        ),
        pytest.param(
            lambda: SyncVectorEnv([lambda: gym.make("FrozenLake-v1")] * 3, autoreset_mode=SAME),
            r"independent of the actions of other rows, but info\['prob'\]",
            id="a-reset-rows-integer-info-truncates-the-other-rows-floats",
        ),
    ],
)
def test_defects_of_gymnasium_itself_are_found(make_vector, match):
    with pytest.raises(VectorEnvError, match=match):
        check_vector_env(make_vector)


def test_gymnasiums_native_cartpole_passes_as_its_rows_share_a_stream():
    check_vector_env(lambda: gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point"))


def test_gymnasiums_native_cartpole_rows_are_not_its_single_environments():
    with pytest.raises(VectorEnvError, match="row 0 to equal its single environment seeded 0 at call 0"):
        check_vector_env(
            lambda: gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point"),
            make_cartpole,
        )


def test_an_environment_that_shares_its_observations_is_refused():
    with pytest.raises(VectorEnvError, match="observations to stay as returned"):
        check_vector_env(lambda: SyncVectorEnv([make_cartpole] * 3, copy=False))


class NestedSpaces(gym.Env):
    """Dictionaries and tuples as observations and actions."""

    observation_space = gym.spaces.Dict(
        {"at": gym.spaces.Box(0, 1, (3,)), "pair": gym.spaces.Tuple([gym.spaces.Discrete(9)] * 2)}
    )
    action_space = gym.spaces.Dict({"go": gym.spaces.Discrete(2), "by": gym.spaces.Box(0, 1, (1,))})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observation(), {"name": "start"}

    def step(self, action):
        self.time += 1 + int(action["go"])
        return (
            self._observation(),
            float(action["by"][0]),
            False,
            self.time >= 4,
            {"nested": {"time": self.time}},
        )

    def _observation(self):
        return {
            "at": self.np_random.random(3, np.float32),
            "pair": (self.time, int(self.np_random.integers(9))),
        }


@MODES
def test_dictionaries_and_tuples_pass(mode):
    make_vector = partial(SyncVectorEnv, [NestedSpaces] * 3, autoreset_mode=mode)
    check_vector_env(make_vector, lambda row: NestedSpaces(), steps=40)


def test_a_seed_that_changes_nothing_is_a_warning_and_so_are_rows_that_are_copies():
    class Constant(CountVector):
        def _begin(self, mask):
            self.state[mask] = 3, 0
            self.ended[mask] = False

    with (
        pytest.warns(UserWarning, match="Five seeds gave the same play"),
        pytest.warns(UserWarning, match="all rows are copies of one"),
    ):
        check_vector_env(Constant)


def test_a_play_in_which_no_episode_ends_is_a_warning():
    with pytest.warns(UserWarning, match="No episode ended and was reset in 2 steps"):
        check_vector_env(CountVector, steps=2)


def test_the_same_object_twice_is_refused():
    env = CountVector()
    with pytest.raises(VectorEnvError, match="fresh copy each time"):
        check_vector_env(lambda: env)


def test_a_single_environment_of_other_spaces_is_refused():
    with pytest.raises(VectorEnvError, match="single environment's observation_space"):
        check_vector_env(CountVector, make_cartpole)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="Expected steps to be a whole number of 1 or more, got 0"):
        check_vector_env(CountVector, steps=0)
