"""Environments over traces give stable-baselines3 the same with and without Gymnasium's infos."""

from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from seenn_env.sb3.vec_env import to_sb3


def test_episode_infos_hold_the_keys_that_sb3_reads_and_no_others():
    from seenn_env import EarlyExitVectorEnv

    whole, lean = (to_sb3(EarlyExitVectorEnv(32, "digits"), infos=kind) for kind in ("finished", "episode"))
    for env in (whole, lean):
        env.seed(0)
        env.reset()
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = rng.integers(2, size=32)
        for one, two in zip(whole.step(actions)[3], lean.step(actions)[3], strict=True):
            if one:
                assert set(one) - set(two) == {"label", "prediction", "correct", "timestep", "sample"}
                assert two["is_success"] == one["is_success"]
                assert two["episode"]["r"] == one["episode"]["r"]
                assert np.array_equal(two["terminal_observation"], one["terminal_observation"])
            else:
                assert two == {}


@pytest.mark.parametrize("infos", ["finished", "episode"])
@pytest.mark.parametrize("name", ["EarlyExit", "ChooseTimestep"])
def test_environments_over_traces_give_the_same_with_and_without_gymnasiums_infos(name, infos):
    import seenn_env

    def vector():
        return getattr(seenn_env, f"{name}VectorEnv")(16, "digits")

    lean, generic = to_sb3(vector(), infos=infos), to_sb3(VectorWrapper(vector()), infos=infos)
    for env in (lean, generic):
        env.seed(3)
    assert np.array_equal(lean.reset(), generic.reset())
    rng, ended = np.random.default_rng(0), 0
    for _ in range(60):
        actions = rng.integers(lean.action_space.n, size=16)
        one, other = lean.step(actions), generic.step(actions)
        for ours, theirs in zip(one[:3], other[:3], strict=True):
            assert np.array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
            assert ours.flags.writeable
        assert lean.reset_infos == generic.reset_infos
        for ours, theirs in zip(one[3], other[3], strict=True):
            assert set(ours) == set(theirs)
            if ours:
                ended += 1
                assert np.array_equal(ours.pop("terminal_observation"), theirs.pop("terminal_observation"))
                assert isinstance(ours["episode"].pop("t"), float)
                del theirs["episode"]["t"]
            assert repr(sorted(ours.items())) == repr(sorted(theirs.items()))  # types too
    assert ended > 100


def test_every_step_hands_out_dictionaries_of_its_own():
    from seenn_env import EarlyExitVectorEnv

    env = to_sb3(EarlyExitVectorEnv(8, "digits"))
    env.reset()
    steps = [env.step(np.zeros(8, int))[3] for _ in range(20)]
    infos = [info for step in steps for info in step]
    assert len({id(info) for info in infos}) == len(infos)
    episodes = [info["episode"] for info in infos if info]
    assert len({id(episode) for episode in episodes}) == len(episodes) > 0


def test_an_environment_over_traces_with_a_step_of_its_own_is_stepped_by_it():
    from seenn_env import EarlyExitVectorEnv

    class Doubled(EarlyExitVectorEnv):
        def step(self, actions):
            observations, rewards, *rest = super().step(actions)
            return observations, 2 * rewards, *rest

    ours, plain = (to_sb3(env(8, "digits")) for env in (Doubled, EarlyExitVectorEnv))
    for env in (ours, plain):
        env.seed(0)
        env.reset()
    exits = np.ones(8, int)
    assert np.array_equal(ours.step(exits)[1], 2 * plain.step(exits)[1])


class Countdown(VectorEnv):
    """Two slots that end after 2 and 3 steps, stepped by arrays alone."""

    def __init__(self):
        self.num_envs = 2
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(0, 3, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.has_array_steps = True

    def reset(self, *, seed=None, options=None):
        self.left = np.array([2, 3])
        return self.left[:, None].astype(np.float32), {}

    def advance(self, actions):
        self.left -= 1
        ended = self.left == 0
        slots = np.flatnonzero(ended)
        self.left[slots] = np.array([2, 3])[slots]
        last = np.zeros((len(slots), 1), np.float32)
        observations = self.left[:, None].astype(np.float32)
        return SimpleNamespace(
            observations=observations,
            rewards=np.ones(2),
            ended=ended,
            slots=slots,
            last=last,
            success=actions[slots] == 1,
        )

    def final_infos(self, step):
        return [{"slot": slot} for slot in step.slots.tolist()]


def test_any_vector_environment_can_step_by_arrays():
    env = to_sb3(Countdown())
    env.reset()
    steps = [env.step(np.array([1, 0])) for _ in range(3)]
    assert [dones.tolist() for _, _, dones, _ in steps] == [[False, False], [True, False], [False, True]]
    assert steps[0][3] == [{}, {}]
    first, second = steps[1][3][0], steps[2][3][1]
    assert (first["slot"], first["episode"]["r"], first["episode"]["l"]) == (0, 2, 2)
    assert (second["slot"], second["episode"]["r"], second["episode"]["l"]) == (1, 3, 3)
    assert second["terminal_observation"].tolist() == [0]
    lean = to_sb3(Countdown(), infos="episode")
    lean.reset()
    assert [lean.step(np.array([1, 0]))[3][0].get("is_success") for _ in range(2)] == [None, True]
