"""Vector environments stepped side by side."""

import numpy as np


def same_infos(one, other):
    """All entries are equal, of any type."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            same_infos(value, other[name])
        elif value.dtype == object:
            assert all(np.array_equal(mine, theirs) for mine, theirs in zip(value, other[name], strict=True))
        else:
            assert value.dtype == other[name].dtype
            assert np.array_equal(value, other[name]), name


def equal_plays(live, replay, steps=30):
    """Observations, rewards and infos of two vector environments are equal under the same random actions."""
    assert live.observation_space == replay.observation_space
    assert live.observation_names == replay.observation_names
    assert live.metadata == replay.metadata
    rng, ended = np.random.default_rng(0), 0
    first, second = live.reset(seed=3), replay.reset(seed=3)
    assert np.array_equal(first[0], second[0])
    same_infos(first[1], second[1])
    for _ in range(steps):
        actions = (rng.random(live.num_envs) < 0.4).astype(np.int64)
        one, other = live.step(actions), replay.step(actions)
        for mine, theirs in zip(one[:4], other[:4], strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)
        same_infos(one[4], other[4])
        ended += one[2].sum()
        if live.autoreset_mode.name == "DISABLED" and one[2].any():
            again = [env.reset(options={"reset_mask": one[2]}) for env in (live, replay)]
            assert np.array_equal(again[0][0], again[1][0])
            same_infos(again[0][1], again[1][1])
    assert ended > steps
