"""Columns are their formulas, within their bounds."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from seenn_env import make_observation


def test_features_are_their_formulas():
    rng = np.random.default_rng(0)
    logits, before = rng.normal(size=(2, 50, 7)).astype(np.float32) * 3
    timestep = rng.integers(1, 5, 50)
    p, q = softmax(logits, -1), softmax(before, -1)
    ranked = np.sort(p, -1)
    later = timestep > 1
    want = np.stack(
        [
            ranked[:, -1],
            ranked[:, -1] - ranked[:, -2],
            entropy(p, axis=-1) / math.log(7),
            later & (p.argmax(-1) == q.argmax(-1)),
            later * np.abs(p - q).sum(-1) / 2,
            timestep / 4,
        ],
        -1,
    )
    observation = make_observation("features", timesteps=4, num_classes=7)
    np.testing.assert_allclose(observation(logits, before, timestep), want, atol=2e-6)
    assert observation.names == ("confidence", "margin", "entropy", "agreement", "change", "elapsed")


def test_features_survive_extreme_logits():
    logits = np.array([[1e4, -1e4, 0], [-65504, 65504, 65504], [0, 0, 0]], np.float32)
    columns = make_observation("features", timesteps=2, num_classes=3)(logits, logits[::-1], np.array([1, 2, 2]))
    assert np.isfinite(columns).all()
    assert columns[0, :3].tolist() == [1, 1, 0]
    assert columns[2, 2] == pytest.approx(1)


def test_a_row_has_the_same_columns_alone_and_among_others(packaged):
    part = packaged.select("test")[:300]
    whole = part.columns("features")
    observation = part.observation("features")
    for row in range(0, 300, 17):
        for t in range(part.timesteps):
            alone = observation(
                part.logits[row : row + 1, t], part.logits[row : row + 1, max(t - 1, 0)], np.array([t + 1])
            )
            assert np.array_equal(alone[0], whole[row, t])


@pytest.mark.parametrize("name", ["features", "logits"])
def test_columns_are_float32_within_their_bounds(packaged, name):
    part = packaged.select("test")
    observation = part.observation(name)
    columns = part.columns(name)
    assert columns.dtype == np.float32
    assert columns.shape == (len(part), 8, len(observation.names))
    assert (columns >= observation.low).all()
    assert (columns <= observation.high).all()
    assert np.isfinite([observation.low, observation.high]).all()


def test_logits_are_clipped_to_the_stated_range():
    observation = make_observation("logits", timesteps=4, num_classes=3)
    logits = np.array([[-100.0, 3.0, 100.0]], np.float32)
    assert observation(logits, logits, np.array([2])).tolist() == [[-20, 3, 20, 0.5]]


def test_a_policy_reading_logits_can_rebuild_the_probabilities():
    logits = np.array([[1.0, 2.0, -3.0]], np.float32)
    columns = make_observation("logits", timesteps=4, num_classes=3)(logits, logits, np.array([1]))
    np.testing.assert_allclose(log_softmax(columns[:, :3], -1), log_softmax(logits, -1), rtol=1e-6)
