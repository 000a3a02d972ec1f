"""The lower bounds of the speeds of environments give the steps of the environment."""

import numpy as np
import pytest

from seenn_env import EarlyExitVectorEnv, Traces, to_sb3
from tests.helpers.programs import load_program

lower_bound = load_program("benchmarks/environments/lower_bound")


@pytest.mark.parametrize("exits", [0.1, 0.5, 0.9])
def test_the_bare_gather_gives_the_steps_of_the_environment(exits):
    traces = Traces.load("digits", split="policy")
    env = to_sb3(EarlyExitVectorEnv(32, traces))
    env.seed(5)
    env.reset()
    arrays, dictionaries = lower_bound.BareGather(traces, 32, 5), lower_bound.GatherWithDictionaries(traces, 32, 5)
    rng = np.random.default_rng(0)
    for _ in range(200):
        actions = (rng.random(32) < exits).astype(np.int64)
        observations, rewards, dones, infos = env.step(actions)
        gathered, (*others, made) = arrays.step(actions), dictionaries.step(actions)
        for results in (gathered, others):
            for ours, theirs in zip(results[:3], (observations, rewards, dones), strict=True):
                assert np.array_equal(ours, theirs)
        slots, last, returns, lengths, correct = gathered[3:]
        assert slots.tolist() == np.flatnonzero(dones).tolist()
        for place, slot in enumerate(slots):
            info = infos[slot]
            assert np.array_equal(info["terminal_observation"], last[place])
            assert (info["episode"]["l"], info["is_success"]) == (lengths[place], correct[place])
            assert info["episode"]["r"] == pytest.approx(returns[place], abs=1e-6)
            assert np.array_equal(made[slot]["terminal_observation"], last[place])
            assert set(made[slot]) == {"terminal_observation", "TimeLimit.truncated", "episode", "is_success"}
        assert [bool(info) for info in made] == dones.tolist()
