"""Vector environments are those of `gym.make`, many at once: arguments, seeds, limits, energy; a reset comes first."""

import gymnasium as gym
import numpy as np
import pytest

import backbones as bb
from seenn_env import ChooseTimestepVectorEnv, EarlyExitEnv, EarlyExitVectorEnv, LiveVectorEnv, record, to_sb3
from tests.helpers.plays import equal_plays
from tests.helpers.recorded import few_samples, small_backbone

FORMS = ["EarlyExit-v0", "EarlyExitLive-v0", "ChooseTimestep-v0", "ChooseTimestepFeatures-v0"]
B = 6


def make(name: str, **settings) -> gym.vector.VectorEnv:
    return gym.make_vec(f"seenn_env:seenn_env/{name}", num_envs=B, **settings)


@pytest.mark.parametrize("mode", ["same_step", "next_step", "disabled"])
@pytest.mark.parametrize("name", FORMS)
def test_a_reset_comes_before_the_first_step(name, mode):
    envs = make(name, autoreset_mode=mode)
    actions, some = np.zeros(B, np.int64), np.arange(B) < 2
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(actions)
    with pytest.raises(gym.error.ResetNeeded, match="all slots"):
        envs.reset(options={"reset_mask": some})
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(actions)
    envs.reset(seed=0)
    envs.step(actions)
    with pytest.raises(gym.error.ResetNeeded):
        to_sb3(make(name, autoreset_mode=mode)).step(actions)


@pytest.mark.parametrize("order", ["epoch", "independent", "sequential"])
@pytest.mark.parametrize("name", FORMS)
def test_seeds_of_every_type_are_the_same_seed(name, order):
    envs = make(name, order=order)
    lists = [tuple(range(B)), range(B), np.arange(B)]
    for plain, others in [(7, [np.int64(7), np.uint8(7), np.array(7)]), (list(range(B)), lists)]:
        expected = envs.reset(seed=plain)[1]["sample"]
        for other in others:
            assert np.array_equal(envs.reset(seed=other)[1]["sample"], expected)
    for bad in (list(range(B - 1)), [1, 2], -1, 1.5, "one"):
        with pytest.raises(bb.InputError, match=r"Expected (a|one) seed"):
            envs.reset(seed=bad)
    single = gym.make(f"seenn_env:seenn_env/{name}")
    assert single.unwrapped.reset(seed=np.int64(3))[1] == single.unwrapped.reset(seed=3)[1]


def test_rows_are_chosen_by_whole_numbers():
    envs, single = make("EarlyExit-v0"), gym.make("seenn_env:seenn_env/EarlyExit-v0").unwrapped
    for rows in (list(range(B)), tuple(range(B)), np.arange(B, dtype=np.uint8)):
        assert np.array_equal(envs.reset(options={"samples": rows})[1]["sample"], envs.traces.sample[:B])
    assert single.reset(options={"samples": [5]})[1]["sample"] == single.traces.sample[5]
    for env, bad in [(envs, np.full(B, 0.5)), (envs, [0]), (single, 2.7), (single, [1, 2]), (single, "one")]:
        with pytest.raises(bb.InputError, match="samples"):
            env.reset(options={"samples": bad})


def same_plays(vector, name, steps=40, **settings):
    """Step for step as Gymnasium's own vector environment over single ones; infos where episodes ended."""
    sync = gym.make_vec(
        f"seenn_env:seenn_env/{name}",
        num_envs=B,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        **settings,
    )
    rng, ended, cut = np.random.default_rng(0), 0, 0
    assert np.array_equal(vector.reset(seed=5)[0], sync.reset(seed=5)[0])
    for _ in range(steps):
        actions = rng.integers(vector.single_action_space.n, size=B)
        one, other = vector.step(actions), sync.step(actions)
        for mine, theirs in zip(one[:4], other[:4], strict=True):
            assert np.array_equal(mine, theirs.astype(mine.dtype))
        for key in ("label", "prediction", "correct", "timestep", "sample", "is_success"):
            mine, theirs = (infos.get("final_info", {}) for infos in (one[4], other[4]))
            there = mine.get(f"_{key}", np.zeros(B, bool))
            assert np.array_equal(there, theirs.get(f"_{key}", np.zeros(B, bool)))
            if there.any():
                assert np.array_equal(mine[key][there], theirs[key][there])
        ended, cut = ended + one[2].sum(), cut + (one[3] & ~one[2]).sum()
    return ended, cut


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("name", ["EarlyExit-v0", "ChooseTimestep-v0"])
def test_a_limit_on_steps_is_that_of_single_environments(name, limit):
    vector = make(name, max_episode_steps=limit, order="independent")
    ended, cut = same_plays(vector, name, max_episode_steps=limit)
    assert ended > 20
    assert (cut > 0) == (name == "EarlyExit-v0")
    with pytest.raises(bb.InputError, match="max_episode_steps to be a whole number of 1 or more or None, got 0"):
        make(name, max_episode_steps=0)


def test_the_limit_reaches_sb3():
    envs = to_sb3(make("EarlyExit-v0", max_episode_steps=2))
    envs.reset()
    assert not envs.step(np.zeros(B, np.int64))[2].any()
    _, rewards, dones, infos = envs.step(np.arange(B) % 2)
    assert dones.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [True, False] * (B // 2)
    assert (rewards[::2] == 0).all()
    assert (rewards[1::2] != 0).all()


@pytest.mark.parametrize(
    ("name", "observation"),
    [("EarlyExit-v0", "features"), ("ChooseTimestep-v0", "image"), ("ChooseTimestep-v0", "hidden")],
)
def test_make_vec_takes_a_backbone_as_make_does(name, observation):
    settings = {"backbone": small_backbone(), "samples": few_samples(), "observation": observation, "repeats": 2}
    vector = make(name, order="independent", **settings)
    ended, _ = same_plays(vector, name, batch_size=B, **settings)
    assert ended > 20
    assert vector.traces is None
    with pytest.raises(bb.InputError, match="batch_size = num_envs = 6, the rows that the network runs at once, got 5"):
        make(name, batch_size=5, **settings)
    with pytest.raises(bb.InputError, match="either traces, or a backbone and samples"):
        make(name, traces="digits", **settings)


@pytest.mark.parametrize("kind", [EarlyExitEnv, EarlyExitVectorEnv, ChooseTimestepVectorEnv])
def test_settings_of_a_live_network_are_refused_without_one(kind):
    with pytest.raises(bb.InputError, match="with a backbone alone"):
        kind(traces="digits", repeats=3)


@pytest.mark.parametrize("mode", ["same_step", "next_step", "disabled"])
def test_energy_is_paid_live_as_in_replay(mode):
    network, samples = small_backbone(), few_samples()
    traces = record(network, samples, repeats=2, batch_size=B, dtype="float16", energy=True)
    settings = {"autoreset_mode": mode, "reward": "energy", "reward_options": {"cost": 0.5}}
    live = LiveVectorEnv(B, backbone=network, samples=samples, repeats=2, dtype="float16", **settings)
    equal_plays(live, EarlyExitVectorEnv(B, traces, **settings))
    one_shot = ChooseTimestepVectorEnv(B, backbone=network, samples=samples, repeats=2, **settings)
    replayed = ChooseTimestepVectorEnv(B, record(network, samples, repeats=2, energy=True, images=True), **settings)
    for env in (one_shot, replayed):
        env.reset(options={"samples": np.arange(B)})
    assert np.array_equal(*(env.step(np.arange(B) % 4)[1] for env in (one_shot, replayed)))
