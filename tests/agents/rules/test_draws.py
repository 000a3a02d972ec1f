"""Policies that draw do so by seed and episode: the same live and in replay, whatever the slots."""

import numpy as np
import pytest

import agents
import backbones as bb
from agents.rules.draws import next_draws, uniform
from backbones.contract import make_keys
from seenn_env import evaluate, record, stream
from seenn_env.streaming import ArrayFeed
from tests.helpers.recorded import few_samples, full_traces, small_backbone


@pytest.fixture(scope="module")
def samples():
    return few_samples("calibration", 60)


@pytest.fixture(scope="module")
def traces(samples):
    return record(small_backbone(), samples, batch_size=16)


def made(name, traces):
    if name == "mixed":
        return agents.calibrate(agents.Patience(), traces, target_timesteps=2.7, randomise=True, seed=1)
    return agents.Uniform(2) if name == "uniform" else agents.train("exact", full_traces(), steps=20)


@pytest.mark.parametrize("name", ["mixed", "uniform", "exact"])
@pytest.mark.parametrize(("num_slots", "shrink"), [(1, False), (7, True), (16, False), (64, True)])
def test_draws_are_the_same_live_and_in_replay(name, num_slots, shrink, samples, traces):
    policy = made(name, traces)
    expected = evaluate(policy, traces, deterministic=False).exit_timesteps
    assert len(np.unique(expected)) > 1
    few = ArrayFeed(samples.images, make_keys(samples.index))
    pool = bb.SlotPool(small_backbone(), num_slots)
    exits = stream(pool, lambda count: few(min(count, 5)), policy, deterministic=False, shrink=shrink)
    found = {int(place): int(t) for each in exits for place, t in zip(each.places, each.timesteps, strict=True)}
    assert [found[place] for place in range(len(samples))] == expected.tolist()


@pytest.mark.parametrize("name", ["mixed", "uniform", "exact"])
def test_a_sample_draws_the_same_in_any_order_and_among_any_others(name, samples, traces):
    policy = made(name, traces)
    expected = evaluate(policy, traces, deterministic=False).exit_timesteps
    order = np.random.default_rng(0).permutation(len(samples))[:40]
    assert np.array_equal(evaluate(policy, traces[order], deterministic=False).exit_timesteps, expected[order])
    repeated = record(small_backbone(), samples, repeats=3, batch_size=16)
    found = evaluate(policy, repeated, deterministic=False).exit_timesteps
    assert np.array_equal(found[repeated.repeat == 0], expected)
    feed = ArrayFeed(samples.images[order], make_keys(samples.index[order]))
    live = np.zeros(len(order), int)
    for each in stream(bb.SlotPool(small_backbone(), 7), feed, policy, deterministic=False):
        live[each.places] = each.timesteps
    assert np.array_equal(live, expected[order])


def test_draws_are_uniform_and_independent_over_episodes_steps_and_seeds():
    names = np.arange(20_000)
    drawn = np.stack([uniform(seed, names, step) for seed, step in ((0, 0), (0, 1), (1, 0), (2**70 + 5, 0))])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    shares = np.stack([np.histogram(each, 20, (0, 1))[0] for each in drawn]) / len(names)
    assert np.abs(shares - 0.05).max() < 0.006
    every = np.vstack([drawn, drawn[0, np.r_[1 : len(names), 0]]])
    assert np.abs(np.corrcoef(every) - np.eye(5)).max() < 0.03


def test_episodes_are_numbered_as_they_begin_and_a_state_stays_as_it_was():
    first = next_draws(None, np.array([True, True, False]), 3)
    second = next_draws(first, np.array([False, True, True]), 3)
    assert first.episode[:2].tolist() == [0, 1]
    assert (second.episode.tolist(), second.step.tolist(), second.begun) == ([0, 2, 3], [1, 0, 0], 4)
    assert (first.step.tolist(), first.begun) == ([0, 0, 0], 2)
