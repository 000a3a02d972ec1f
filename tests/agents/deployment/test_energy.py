"""The energy of live answers: that of replay, on images drawn evenly, and of the plain form."""

import numpy as np
import pytest

import backbones as bb
from agents import Margin, classify
from agents.deployment.energy import EnergySample
from backbones.networks import SpikingNetwork
from seenn_env import evaluate, record
from tests.helpers.recorded import small_backbone

POLICY = Margin(0.7)


@pytest.fixture(scope="module")
def network() -> SpikingNetwork:
    return bb.load("digits")


@pytest.fixture(scope="module")
def samples(digits) -> bb.Samples:
    return digits.test.select(slice(0, 150))


@pytest.fixture(scope="module")
def replayed(network, samples) -> np.ndarray:
    """`[N]` picojoules up to the exit."""
    return evaluate(POLICY, record(network, samples, energy=True)).energy_pj


def test_of_few_images_all_are_counted_as_in_replay(network, samples, replayed):
    found = classify(samples, network, POLICY, num_slots=16).energy
    assert found.places.tolist() == list(range(150))
    np.testing.assert_allclose(found.energy_pj, replayed)
    assert found.mean_pj == pytest.approx(replayed.mean())


def test_of_many_a_sample_is_counted(network, samples, replayed):
    found = classify(samples, network, POLICY, num_slots=16, energy_images=40).energy
    assert found.images == len(set(found.places.tolist())) == 40
    assert found.places.max() > 100  # not the first ones
    np.testing.assert_allclose(found.energy_pj, replayed[found.places])


def test_the_form_for_inference_is_counted_in_its_plain_form(network, samples, replayed):
    found = classify(samples, network.optimize(), POLICY, num_slots=16).energy
    assert found.images == 150
    assert (np.isclose(found.energy_pj, replayed)).mean() > 0.98  # an exit may differ by a rounding


def test_every_image_is_as_likely_as_any_other(network):
    drawn = np.zeros(30)
    for seed in range(400):
        sample = EnergySample(network, size=6, seed=seed)
        for place in range(30):
            sample.offer(place, np.zeros((1, 8, 8), np.uint8), place)
        drawn[[place for place, _, _ in sample._kept]] += 1
    assert drawn.sum() == 6 * 400
    assert np.abs(drawn - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


def test_broken_images_have_no_energy(network):
    good = np.full((1, 8, 8), 200, np.uint8)
    found = classify(iter([good, "picture", good]), network, POLICY, num_slots=2)
    assert found.energy.places.tolist() == [0, 2]
    nothing = classify(np.empty((0, 1, 8, 8), np.uint8), network, POLICY).energy
    assert nothing.images == 0
    assert np.isnan(nothing.mean_pj)


def test_a_backbone_whose_operations_cannot_be_counted_has_no_energy(network, samples):
    class Bare:
        """A backbone that is no module."""

        def __init__(self, inner):
            self.start, self.step, self.refill = inner.start, inner.step, inner.refill
            self.timesteps, self.num_classes, self.device = inner.timesteps, inner.num_classes, inner.device
            self.sample_shape = inner.sample_shape

    few = samples.select(slice(4))
    assert classify(few, Bare(network), POLICY, num_slots=4).energy is None
    assert classify(few, network, POLICY, num_slots=4, energy_images=0).energy is None
    with pytest.raises(bb.InputError, match="energy_images to be a whole number of 0 or more, got -1"):
        classify(few, network, POLICY, energy_images=-1)
    with pytest.raises(bb.InputError, match="size to be a whole number of 1 or more, got 0"):
        EnergySample(small_backbone(), size=0)
