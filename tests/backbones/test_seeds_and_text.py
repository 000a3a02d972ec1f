"""Seeds, names of kinds in errors, and one-line texts of objects."""

import numpy as np
import pytest
from torch import nn

import backbones as bb
from backbones.contract import run_probed
from backbones.data import Augmentation, Division, corrupt, stratified_split
from backbones.energy import Metered
from backbones.errors import counted, kind_of


class Leaky(nn.Module):
    """A spiking network of plain torch."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images, state):
        state = self.head(images.flatten(1)) + (0 if state is None else 0.5 * state)
        return (state > 0).float(), state


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
@pytest.mark.parametrize(
    "door",
    [
        lambda samples, seed: bb.load_dataset("digits", seed=seed),
        lambda samples, seed: bb.TrainingConfig(seed=seed),
        lambda samples, seed: Augmentation(seed=seed),
        lambda samples, seed: Division(seed=seed),
        lambda samples, seed: stratified_split(samples.labels, {"a": 2}, seed),
        lambda samples, seed: corrupt(samples, "gaussian-noise", 1, seed=seed),
    ],
)
def test_a_seed_is_a_whole_number_of_0_or_more(door, seed, digits):
    with pytest.raises(bb.InputError, match="Expected seed to be a whole number of 0 or more, got "):
        door(digits.test, seed)


def test_errors_have_an_before_a_vowel(digits):
    wrapped = bb.wrap(Leaky().eval(), digits.test.images[:8], 2, framework="torch")
    with pytest.raises(bb.InputError, match="got an AdaptedBackbone that does not"):
        list(run_probed(wrapped, digits.test.images[:2], np.arange(2), probes=("hidden",)))
    assert (kind_of(0), kind_of([])) == ("an int", "a list")


def test_backbones_and_samples_have_texts_of_one_line(digits):
    network = bb.load("digits")
    wrapped = bb.wrap(Leaky().eval(), digits.test.images[:8], 2, framework="torch")
    assert repr(network) == "SpikingNetwork('small', T=8, K=10, form='plain')"
    assert repr(wrapped) == "AdaptedBackbone(Leaky of torch, T=2, K=10)"
    assert repr(digits.test) == "Samples('digits', 'test', 497 × [1, 8, 8] uint8)"
    for backbone in (network.optimize(), Metered(network), bb.SlotPool(network, 2)):
        assert "\n" not in repr(backbone)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "image", "1 image"), (0, "image", "0 images"), (2, "policy", "2 policies"), (10_000, "row", "10000 rows")],
)
def test_a_count_has_its_noun_in_the_right_number(count, noun, text):
    assert counted(count, noun) == text
