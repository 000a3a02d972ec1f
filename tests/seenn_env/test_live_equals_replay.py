"""Live answers are those of replay on every test image, for every kind of policy; memory stays constant."""

import os

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import agents
import backbones as bb
from backbones.contract import make_keys
from seenn_env import EarlyExitVectorEnv, Traces, evaluate, record, stream, to_sb3
from seenn_env.streaming import ArrayFeed
from tests.helpers.programs import load_program
from tests.helpers.recorded import small_backbone

RULES = (agents.Confidence(), agents.Entropy(), agents.Margin(), agents.PerTimestep(agents.Margin()))
B = 64


def sb3_policy(steps=0):
    model = PPO("MlpPolicy", to_sb3(EarlyExitVectorEnv(64, "digits")), n_steps=16, seed=0, device="cpu")
    return model.learn(steps) if steps else model


def live(backbone, samples, policy, num_slots, repeats, order):
    shows = np.repeat(np.arange(len(samples)), repeats)[order]
    keys = make_keys(samples.index.repeat(repeats), np.tile(np.arange(repeats), len(samples)))[order]
    timesteps, predictions = np.zeros((2, len(order)), np.int64)
    for exits in stream(bb.SlotPool(backbone, num_slots), ArrayFeed(samples.images, keys, shows), policy):
        assert (timesteps[order[exits.places]] == 0).all()
        timesteps[order[exits.places]] = exits.timesteps
        predictions[order[exits.places]] = exits.predictions
    return timesteps, predictions


def agree(backbone, samples, policies, repeats):
    traces = record(backbone, samples, repeats=repeats, batch_size=B)
    order = np.random.default_rng(0).permutation(len(traces))
    for policy in policies:
        expected = evaluate(policy, traces)
        timesteps, predictions = live(backbone, samples, policy, B, repeats, order)
        assert np.array_equal(timesteps, expected.exit_timesteps)
        assert np.array_equal(predictions, expected.predictions)
        assert len(set(timesteps)) > 1
        other, _ = live(backbone, samples, policy, 50, repeats, order)
        assert (other == expected.exit_timesteps).mean() >= 0.999


def calibrated(rules):
    packaged = Traces.load("digits", split="calibration")
    return [agents.calibrate(rule, packaged, target_timesteps=1.4) for rule in rules]


@pytest.mark.parametrize("form", ["plain", "inference"])
def test_a_rule_and_an_sb3_policy_exit_live_as_in_replay(form, digits):
    backbone = bb.load("digits")
    backbone = backbone if form == "plain" else backbone.optimize()
    agree(backbone, digits.test.select(slice(70)), [*calibrated(RULES[2:3]), sb3_policy()], repeats=1)


@pytest.mark.slow
def test_all_rules_and_an_sb3_policy_exit_live_as_in_replay_on_ten_thousand_rows(digits):
    backbone = bb.load("digits").optimize()
    agree(backbone, digits.test, [*calibrated(RULES), sb3_policy(16384)], repeats=20)


class Generated:
    """A million images, made when they are asked for."""

    def __init__(self, total):
        self.total, self.given = total, 0
        self.pool = torch.rand(997, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def __call__(self, count):
        places = np.arange(self.given, min(self.given + count, self.total))
        self.given += len(places)
        return self.pool[places % 997], places


def stream_many(total, warm_up):
    """`[total]` how often each came out, and by how much the memory grew after the warm-up."""
    seen, growth = np.zeros(total, np.uint8), 0
    pool, feed = bb.SlotPool(small_backbone(encoding="direct").optimize(), 256), Generated(total)
    done, start = 0, None
    for exits in stream(pool, feed, agents.Margin(0.02)):
        seen[exits.places] += 1
        done += len(exits.places)
        if done >= warm_up and (start is None or done % 64 == 0 or done == total):
            now = load_program("benchmarks/environments/scale").AnonymousMemory().start
            start = start or now
            growth = max(growth, now - start)
    return seen, growth


@pytest.mark.slow
def test_a_million_images_are_answered_once_each_in_memory_that_does_not_grow():
    handles = len(os.listdir("/proc/self/fd"))
    seen, growth = stream_many(1_000_000, 50_000)
    print(f"1,000,000 images, memory + {growth / 2**20:.1f} MiB, {len(os.listdir('/proc/self/fd'))} handles")
    assert (seen == 1).all()
    assert len(os.listdir("/proc/self/fd")) == handles
    assert growth < 8 * 2**20


def test_twenty_thousand_images_are_answered_once_each_in_memory_that_does_not_grow():
    seen, growth = stream_many(20_000, 5_000)
    assert (seen == 1).all()
    assert growth < 8 * 2**20
