"""Extreme but finite numbers and sizes: every figure of replay stays finite and in its range."""

import numpy as np
import pytest

from agents import Confidence, Entropy, Margin, PerTimestep, calibrate, compare
from backbones import InputError
from seenn_env import EarlyExitVectorEnv, Traces, evaluate

SIZES = {
    "K = 2": (8, 3, 2),
    "K = 1000": (4, 2, 1000),
    "T = 1": (8, 1, 3),
    "T = 64": (4, 64, 3),
    "one sample": (1, 3, 3),
}
VALUES = {
    "float16's largest": (np.float16, [65504, -65504, 0]),
    "float32's largest": (np.float32, [3.4e38, -3.4e38, 0]),
    "subnormal": (np.float32, [1e-45, -1e-45, 0]),
    "float16's subnormal": (np.float16, [6e-8, -6e-8, 0]),
    "equal": (np.float32, [0, 0, 0]),
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_figures_of_extreme_traces_are_finite(size, values):
    dtype, choices = values
    rng = np.random.default_rng(0)
    logits = rng.choice(np.array(choices, dtype), size)
    traces = Traces(logits=logits, labels=np.zeros(size[0], int), split="policy")  # all other classes are missing
    for observation in ("features", "rich", "logits"):
        columns, spec = traces.columns(observation), traces.observation(observation)
        assert np.isfinite(columns).all()
        assert (columns >= spec.low).all()
        assert (columns <= spec.high).all()
    for rule in (Confidence(), Entropy(), Margin(), PerTimestep(Margin())):
        policy = calibrate(rule, traces, target_timesteps=(1 + size[1]) / 2)
        result = evaluate(policy, traces)
        assert 0 <= result.accuracy <= 1
        assert 1 <= result.mean_timesteps <= size[1]
    assert "nan" not in compare({"margin": Margin()}, traces).table()
    env = EarlyExitVectorEnv(2, traces)
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        assert env.observation_space.contains(observation)
        observation, rewards, *_ = env.step(env.action_space.sample())
        assert np.isfinite(rewards).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_refused(value):
    logits = np.zeros((3, 2, 2), np.float16)
    logits[1, 1, 0] = value
    with pytest.raises(InputError, match="NaN or infinity in row 1"):
        Traces(logits=logits, labels=[0, 1, 0], split="policy")
