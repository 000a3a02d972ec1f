"""Every environment passes every checker, and its single and vector forms agree step for step."""

import pickle
import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_sb3
from stable_baselines3.common.vec_env import SubprocVecEnv

from seenn_env import (
    ChooseTimestepEnv,
    ChooseTimestepVectorEnv,
    EarlyExitEnv,
    EarlyExitVectorEnv,
    check_vector_env,
    to_sb3,
)
from tests.helpers.recorded import BATCH, few_samples, full_traces, small_backbone

SINGLE = {"early exit": EarlyExitEnv, "choose timestep": ChooseTimestepEnv}
VECTOR = {"early exit": EarlyExitVectorEnv, "choose timestep": ChooseTimestepVectorEnv}
COLUMNS = ["features", "logits", "hidden", "membrane"]
SHOWN = {"early exit": COLUMNS, "choose timestep": ["image", "image_float", *COLUMNS]}
PAIRS = [(kind, observation) for kind in SINGLE for observation in SHOWN[kind]]
MODES = list(AutoresetMode)
SMALL = "The minimal resolution for an image is 36x36"
FLOATS = ("is an image but its `dtype` is (float32)", "is an image but the upper and lower bounds are not in [0, 255]")
EXPECTED_WARNINGS = {"image": [SMALL], "image_float": [SMALL, *FLOATS]}
"""SB3's: digits are 8 × 8, too small for its convolutional network, which also wants uint8."""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("live", [False, True], ids=["replay", "live"])
@pytest.mark.parametrize(("kind", "observation"), PAIRS)
def test_checkers_of_single_environments_find_nothing(kind, observation, live):
    data = {"backbone": small_backbone(), "samples": few_samples()} if live else {"traces": full_traces()}
    env = SINGLE[kind](**data, observation=observation)
    with warnings.catch_warnings():
        # Gymnasium's: the environment was not made by gym.make here, so a spec is missing.
        warnings.filterwarnings("ignore", message=".*spec.*")
        check_gymnasium(env, skip_render_check=True)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_sb3(env, skip_render_check=True)
    messages, expected = [str(warning.message) for warning in found], EXPECTED_WARNINGS.get(observation, [])
    assert len(messages) == len(expected)
    assert all(any(text in message for message in messages) for text in expected)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("order", ["epoch", "independent", "sequential"])
@pytest.mark.parametrize(("kind", "observation"), [("early exit", "hidden"), ("choose timestep", "image")])
def test_vector_environments_keep_their_promises(kind, observation, order, mode):
    arguments = {"traces": full_traces(), "observation": observation}
    make_vector = partial(VECTOR[kind], 3, **arguments, order=order, autoreset_mode=mode)
    singles = {"make_single": lambda row: SINGLE[kind](**arguments)} if order == "independent" else {}
    with warnings.catch_warnings():
        if order == "sequential":
            warnings.filterwarnings("ignore", message="Five seeds gave the same play")
        check_vector_env(make_vector, **singles, steps=40)


def step_for_step(kind, observation, mode, steps):
    """The number of slot-steps in which single, sync, native and SB3 agreed."""
    B, arguments = 4, {"traces": full_traces(), "observation": observation}
    native = partial(VECTOR[kind], B, **arguments, order="independent", autoreset_mode=mode)
    sync = SyncVectorEnv([partial(SINGLE[kind], **arguments)] * B, autoreset_mode=mode)
    vector, sb3, at_once = native(), to_sb3(native()), native(autoreset_mode=AutoresetMode.SAME_STEP)
    singles = [SINGLE[kind](**arguments) for _ in range(B)]
    for row, env in enumerate(singles):
        env.reset(seed=7 + row)
    sb3.seed(7)
    a, b = sync.reset(seed=7)[0], vector.reset(seed=7)[0]
    at_once.reset(seed=7)
    assert np.array_equal(a, b)
    assert np.array_equal(sb3.reset(), b)
    rng, ended = np.random.default_rng(0), np.zeros(B, bool)
    for _ in range(steps // B):
        if mode is AutoresetMode.DISABLED and ended.any():
            for env in (sync, vector):
                env.reset(options={"reset_mask": ended.copy()})
        actions = rng.integers(vector.single_action_space.n, size=B)
        one, other = sync.step(actions), vector.step(actions)
        for x, y in zip(one[:4], other[:4], strict=True):
            assert np.array_equal(x, y)
            assert x.shape == y.shape
        waited, ended = ended if mode is AutoresetMode.NEXT_STEP else np.zeros(B, bool), other[2]
        for row, env in enumerate(singles):
            if waited[row]:
                assert np.array_equal(env.reset()[0], other[0][row])
                continue
            observation, reward, terminated, _, info = env.step(actions[row])
            assert (reward, terminated) == (other[1][row], other[2][row])
            if terminated:
                infos, last = other[4], other[0][row]
                if mode is AutoresetMode.SAME_STEP:
                    infos, last = infos["final_info"], infos["final_obs"][row]
                assert {key: infos[key][row] for key in info} == info
                assert np.array_equal(observation, last)
                if mode is not AutoresetMode.NEXT_STEP:
                    observation = env.reset()[0]
            if mode is AutoresetMode.SAME_STEP or not terminated:
                assert np.array_equal(observation, other[0][row])
        observations, rewards, dones, infos = sb3.step(actions)  # in every mode it resets in the same step
        other = other if mode is AutoresetMode.SAME_STEP else at_once.step(actions)
        assert np.array_equal(observations, other[0])
        assert np.array_equal(rewards, other[1])
        assert np.array_equal(dones, other[2])
        for row in np.flatnonzero(dones):
            assert np.array_equal(infos[row]["terminal_observation"], other[4]["final_obs"][row])
            assert infos[row]["is_success"] == other[4]["final_info"]["is_success"][row]
    return steps


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(("kind", "observation"), [("early exit", "features"), ("choose timestep", "image")])
def test_single_sync_native_and_sb3_are_equal_step_for_step(kind, observation, mode):
    assert step_for_step(kind, observation, mode, 4_000) == 4_000


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(("kind", "observation"), PAIRS)
def test_single_sync_native_and_sb3_are_equal_for_100_000_steps(kind, observation, mode):
    assert step_for_step(kind, observation, mode, 100_000) == 100_000


@pytest.mark.parametrize("kind", SINGLE)
def test_two_processes_step_as_one_does(kind):
    name = {"early exit": "seenn_env/EarlyExit-v0", "choose timestep": "seenn_env/ChooseTimestep-v0"}[kind]
    make = partial(gym.make, f"seenn_env:{name}")
    same = AutoresetMode.SAME_STEP
    sync, workers = SyncVectorEnv([make] * 2, autoreset_mode=same), AsyncVectorEnv([make] * 2, autoreset_mode=same)
    subprocesses = SubprocVecEnv([make] * 2)
    try:
        subprocesses.seed(3)
        assert np.array_equal(sync.reset(seed=3)[0], workers.reset(seed=3)[0])
        subprocesses.reset()
        rng = np.random.default_rng(0)
        for _ in range(50):
            actions = rng.integers(sync.single_action_space.n, size=2)
            one, other = sync.step(actions), workers.step(actions)
            for x, y in zip(one[:4], other[:4], strict=True):
                assert np.array_equal(x, y)
            assert np.array_equal(subprocesses.step(actions)[1], one[1].astype(np.float32))
    finally:
        for env in (sync, workers, subprocesses):
            env.close()


@pytest.mark.parametrize(("kind", "observation"), [*PAIRS, ("early exit", "rich+hidden")])
def test_environments_pickle_in_the_middle_of_an_episode(kind, observation):
    for env in (
        SINGLE[kind](full_traces(), observation=observation),
        SINGLE[kind](backbone=small_backbone(), samples=few_samples(), batch_size=BATCH, observation=observation),
    ):
        env.reset(seed=0)
        twin = pickle.loads(pickle.dumps(env))
        for one, other in zip(env.step(0), twin.step(0), strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(env.reset()[0], twin.reset()[0])
    vector = VECTOR[kind](4, full_traces(), observation=observation)
    vector.reset(seed=0)
    twin = pickle.loads(pickle.dumps(vector))
    for _ in range(5):
        for one, other in zip(vector.step(np.zeros(4, int))[:4], twin.step(np.zeros(4, int))[:4], strict=True):
            assert np.array_equal(one, other)
