"""The live vector environment equals the replay of its own recording, bit for bit."""

import numpy as np
import pytest

import backbones as bb
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, LiveVectorEnv, check_vector_env, record
from seenn_env.rendering import rgb_array
from tests.helpers.plays import equal_plays
from tests.helpers.recorded import few_samples, small_backbone

B = 6


def both(order="epoch", mode="same_step", observation="features", dtype="float16", reward="seenn", **backbone):
    network, samples = small_backbone(**backbone), few_samples()
    fields = {name: True for name in ("hidden", "membrane") if name == observation}
    traces = record(network, samples, repeats=2, batch_size=B, dtype=dtype, **fields)
    settings = {"order": order, "autoreset_mode": mode, "observation": observation, "reward": reward}
    live = LiveVectorEnv(B, backbone=network, samples=samples, repeats=2, dtype=dtype, **settings)
    return live, EarlyExitVectorEnv(B, traces, **settings)


@pytest.mark.parametrize("order", ["epoch", "independent", "sequential"])
@pytest.mark.parametrize("mode", ["same_step", "next_step", "disabled"])
def test_it_equals_replay_step_for_step(order, mode):
    equal_plays(*both(order, mode))


@pytest.mark.parametrize("observation", ["logits", "hidden", "membrane"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_it_shows_the_observations_of_replay(observation, dtype):
    equal_plays(*both(observation=observation, dtype=dtype))


@pytest.mark.parametrize("settings", [{"timesteps": 1}, {"encoding": "direct"}, {"encoding": "latency"}])
def test_it_equals_replay_at_one_timestep_and_in_every_encoding(settings):
    equal_plays(*both(reward="linear", **settings))


def test_the_inference_form_equals_its_own_recording():
    fast, samples = small_backbone().optimize(), few_samples()
    traces = record(fast, samples, batch_size=B)
    equal_plays(LiveVectorEnv(B, backbone=fast, samples=samples), EarlyExitVectorEnv(B, traces))


@pytest.mark.parametrize("mode", ["same_step", "next_step", "disabled"])
def test_it_passes_the_checker_of_vector_environments(mode):
    settings = {"backbone": small_backbone(), "samples": few_samples()}

    def vector():
        return LiveVectorEnv(3, order="independent", autoreset_mode=mode, **settings)

    check_vector_env(vector, lambda row: EarlyExitEnv(batch_size=3, **settings), steps=12)


def test_rows_can_be_chosen_and_drawn():
    live = LiveVectorEnv(B, backbone=small_backbone(), samples=few_samples(), render_mode="rgb_array")
    rows = np.arange(B)[::-1].copy()
    _, infos = live.reset(options={"samples": rows})
    assert np.array_equal(infos["sample"], few_samples().index[rows])
    live.step(np.zeros(B, np.int64))
    frames = live.render()
    assert len(frames) == B
    assert np.array_equal(frames[0], rgb_array(live.dynamics.episode(0, B - 1, 2, False)))


def test_the_packaged_backbone_runs_by_name():
    live = LiveVectorEnv(2, backbone="digits")
    observations, _ = live.reset(seed=0)
    assert observations in live.observation_space


def test_the_network_runs_once_a_step_where_no_row_reaches_t():
    network, count = small_backbone(), 0
    live = LiveVectorEnv(4, backbone=network, samples=few_samples())
    step = live.dynamics.pool.step

    def counted():
        nonlocal count
        count += 1
        return step()

    live.dynamics.pool.step = counted
    live.reset(seed=0)
    for _ in range(5):
        live.step(np.ones(4, np.int64))
    assert count == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, "num_envs to be a whole number of 1 or more, got 0"),
        ({"samples": None}, "samples for the backbone to run on"),
        ({"reward": "energy", "backbone": small_backbone().optimize()}, "a plain network to meter"),
        ({"order": "any"}, "order, got 'any'"),
    ],
)
def test_bad_arguments_are_one_sentence(settings, message):
    with pytest.raises(bb.InputError, match=message):
        LiveVectorEnv(**{"num_envs": 2, "backbone": small_backbone(), "samples": few_samples(), **settings})
