"""Input spikes are a pure function of (seed, key, timestep, position)."""

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.keyed_random import hash_uniform
from backbones.networks.encodings import make_encoding


def spikes(seed: int, keys: list[int], t: int, size: int = 4000) -> torch.Tensor:
    inputs = torch.full((len(keys), size), 0.3)
    return make_encoding("poisson", 8, seed)(inputs, torch.tensor(keys), torch.full((len(keys),), t))


def test_poisson_spikes_do_not_depend_on_the_slot_or_the_neighbours():
    together = spikes(0, [5, 6, 7], 2)
    assert torch.equal(together[2], spikes(0, [7], 2)[0])
    assert torch.equal(together[0], spikes(0, [9, 5], 2)[1])


def test_the_rate_of_poisson_spikes_is_the_intensity():
    rate = spikes(0, list(range(50)), 1).mean().item()
    assert rate == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 200_000))
    encoding = make_encoding("poisson", 8, 0)
    extremes = torch.tensor([[0.0, 1.0]]).repeat(1000, 1)
    assert encoding(extremes, torch.arange(1000), torch.ones(1000, dtype=torch.int64)).mean(0).tolist() == [0, 1]


@pytest.mark.parametrize("other", [(1, 5, 2), (0, 6, 2), (0, 5, 3), (0, 5 + (1 << 32), 2)])
def test_seed_key_and_timestep_each_give_other_independent_spikes(other):
    seed, key, t = other
    one, two = spikes(0, [5], 2)[0], spikes(seed, [key], t)[0]
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(4000)


def test_the_hash_is_the_one_that_integers_give_on_any_machine():
    mask = 0xFFFFFFFF

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D & mask
        x ^= x >> 15
        x = x * 0x846CA68B & mask
        return x ^ x >> 16

    def uniform(seed: int, key: int, t: int, position: int) -> float:
        row = mix(mix(seed & mask) ^ mix(key >> 32 & mask) ^ 0x9E3779B9)
        row = mix(mix(row + (key & mask) & mask) + 0x85EBCA6B * t & mask)
        return (mix(row + mix(position + 0x5BD1E995 & mask) & mask) >> 8) * 2.0**-24

    keys = torch.tensor([3, 1 << 40 | 77])
    got = hash_uniform(9, keys, torch.tensor([1, 4]), 5)
    want = [[uniform(9, int(key), t, p) for p in range(5)] for key, t in zip(keys, (1, 4), strict=True)]
    assert got.tolist() == want


def test_latency_fires_once_and_the_brighter_the_earlier():
    inputs = torch.tensor([[1.0, 0.5, 0.01, 0.0]])
    encoding = make_encoding("latency", 5)
    train = torch.stack([encoding(inputs, torch.zeros(1), torch.tensor([t]))[0] for t in range(1, 6)])
    assert train.sum(0).tolist() == [1, 1, 1, 0]
    assert [train[:, i].argmax().item() + 1 for i in range(3)] == [1, 3, 5]


def test_direct_encoding_shows_the_intensities_every_time():
    inputs = torch.rand(2, 3)
    encoding = make_encoding("direct", 4)
    assert encoding.static
    assert torch.equal(encoding(inputs, torch.zeros(2), torch.tensor([1, 4])), inputs)


def test_an_unknown_encoding_is_refused_with_the_known_ones():
    with pytest.raises(bb.InputError, match=r"encoding, got 'rate'. Known: direct, event, latency, poisson"):
        make_encoding("rate", 4)
