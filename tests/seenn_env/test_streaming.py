"""A stream through a slot pool gives the answers of replay, each input once, under any policy."""

import copy
from functools import cache

import numpy as np
import pytest
import torch

import agents
import backbones as bb
from backbones.contract import make_keys
from seenn_env import evaluate, record
from seenn_env.streaming import ArrayFeed, stream
from tests.helpers.recorded import few_samples, small_backbone

POLICIES = {
    "confidence": agents.Confidence(),
    "entropy": agents.Entropy(),
    "margin": agents.Margin(),
    "per timestep": agents.PerTimestep(agents.Margin()),
    "fixed": agents.FixedTimestep(2),
}


@cache
def policy_of(name):
    """The policy of that name, calibrated to 2 timesteps of 4."""
    policy = POLICIES[name]
    if name == "fixed":
        return policy
    _, traces = samples_and_traces(16)
    return agents.calibrate(policy, traces, target_timesteps=2)


def results(exits):
    """`[N]` predictions and exit timesteps in the order of the stream; every place once."""
    every = list(exits)
    places = np.concatenate([each.places for each in every])
    assert sorted(places) == list(range(len(places)))
    order = np.argsort(places)
    return tuple(
        np.concatenate([getattr(each, name) for each in every])[order] for name in ("predictions", "timesteps")
    )


def samples_and_traces(num_slots, count=60, dtype="float32", **fields):
    samples = few_samples(count=count)
    return samples, record(small_backbone(), samples, batch_size=num_slots, dtype=dtype, **fields)


def streamed(samples, policy, num_slots, order=None, **settings):
    order = np.arange(len(samples)) if order is None else order
    feed = ArrayFeed(samples.images, make_keys(samples.index)[order], order)
    return results(stream(bb.SlotPool(small_backbone(), num_slots), feed, policy, **settings))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_live_exits_are_those_of_replay_in_any_order_of_arrival(name, dtype):
    samples, traces = samples_and_traces(16, dtype=dtype)
    expected = evaluate(policy_of(name), traces)
    order = np.random.default_rng(1).permutation(len(samples))
    predictions, timesteps = streamed(samples, policy_of(name), 16, order, dtype=dtype)
    assert np.array_equal(timesteps, expected.exit_timesteps[order])
    assert np.array_equal(predictions, expected.predictions[order])
    assert 1 < timesteps.mean() < 4


@pytest.mark.parametrize("observation", ["features", "logits", "hidden", "membrane"])
def test_a_policy_sees_the_columns_of_replay(observation):
    samples, traces = samples_and_traces(16, hidden=True, membrane=True)
    expected = traces.columns(observation).reshape(-1, traces.columns(observation).shape[-1])
    seen = set()

    class Looks:
        def predict(self, columns, state=None, episode_start=None, deterministic=True):
            seen.update(row.tobytes() for row in columns)
            return np.zeros(len(columns), np.int64), None

    streamed(samples, Looks(), 16, observation=observation)
    assert {row.tobytes() for row in expected} <= seen


def test_rows_of_a_policys_state_start_afresh_with_their_inputs():
    samples, _ = samples_and_traces(16)

    class Counts:
        def predict(self, columns, state=None, episode_start=None, deterministic=True):
            count = np.where(episode_start, 1, 0 if state is None else state + 1)
            return (count >= 3).astype(int), count

    _, timesteps = streamed(samples, Counts(), 16)
    assert set(timesteps) == {3}


@pytest.mark.parametrize("num_slots", [1, 7, 60, 100])
def test_any_number_of_slots_and_a_shrinking_tail_answer_every_input(num_slots):
    samples, traces = samples_and_traces(16)
    expected = evaluate(policy_of("margin"), traces)
    for shrink in (False, True):
        predictions, timesteps = streamed(samples, policy_of("margin"), num_slots, shrink=shrink)
        assert (timesteps == expected.exit_timesteps).mean() >= 0.95
        assert (predictions == expected.predictions).mean() >= 0.95


def test_the_tail_shrinks_only_when_asked():
    samples, _ = samples_and_traces(16)
    for shrink, sizes in ((False, {16}), (True, {16, 8, 4})):
        pool, seen = bb.SlotPool(small_backbone(), 16), set()
        step = pool.step
        pool.step = lambda step=step, pool=pool, seen=seen: (seen.add(pool.num_slots), step())[1]
        results(stream(pool, ArrayFeed(samples.images), policy_of("margin"), shrink=shrink))
        assert seen <= set(range(1, 17))
        assert (max(seen), len(seen) > 1) == (max(sizes), shrink)


def test_a_feed_that_gives_little_is_asked_again_and_never_read_ahead():
    images, given, out = few_samples(count=30).images, [0], []
    feed = ArrayFeed(images)

    def slow(count):
        inputs, keys = feed(min(count, 3))
        feed.position = min(feed.position, 30)
        given[0] += len(keys)
        assert given[0] - sum(map(len, out)) <= 8
        return inputs, keys

    for exits in stream(bb.SlotPool(small_backbone(), 8), slow, policy_of("margin")):
        out += [exits.places]
    assert sorted(np.concatenate(out)) == list(range(30))


def test_an_empty_feed_ends_at_once():
    assert list(stream(bb.SlotPool(small_backbone(), 4), ArrayFeed(np.empty((0, 1, 8, 8))), agents.Margin())) == []


class Actions:
    def __init__(self, value):
        self.value = value

    def predict(self, columns, state=None, episode_start=None, deterministic=True):
        return np.full(len(columns), self.value), None


@pytest.mark.parametrize(
    ("policy", "message"), [(agents.Oracle(), "decides as it goes"), (Actions(2), r"actions \[4\] of 0")]
)
def test_policies_that_cannot_be_run_live_are_refused(policy, message):
    with pytest.raises(bb.InputError, match=message):
        list(stream(bb.SlotPool(small_backbone(), 4), ArrayFeed(few_samples().images), policy))


def test_logits_that_are_not_finite_are_refused():
    broken = copy.deepcopy(small_backbone())
    torch.nn.init.constant_(broken.head[-1].bias, float("inf"))
    with pytest.raises(bb.InputError, match="finite logits"):
        list(stream(bb.SlotPool(broken, 4), ArrayFeed(few_samples().images), agents.Margin()))
