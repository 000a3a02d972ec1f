"""`check_backbone` refuses a leak between rows, and reports a rounding by place."""

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.contract import BackboneError
from backbones.conversion.converter import convert
from tests.helpers.leaks import leaks_not_found, random_images, random_layers, refused


def plain(seed):
    """A small network of this package, of an odd width."""
    neuron = {"type": ("lif", "if", "plif")[seed % 3], "v_threshold": 0.1 + 0.1 * (seed % 3)}
    encoding = ("direct", "poisson")[seed % 2]
    settings = {"width": 1 + seed % 7, "encoding": encoding, "neuron": neuron, "seed": seed}
    return bb.build("small", num_classes=2 + seed % 9, timesteps=1 + seed % 6, input_shape=(1, 8, 8), **settings)


def converted(seed):
    """A converted network of plain layers, or of this package's."""
    if seed % 4 == 0:
        settings = {"width": 5 + seed % 3, "timesteps": 1, "input_shape": (1, 8, 8), "seed": seed}
        ann = bb.build("resnet9", num_classes=10, neuron={"type": "qcfs", "levels": 8, "threshold": 0.5}, **settings)
        return convert(ann, timesteps=8)
    layers = random_layers(seed, lambda random: nn.ReLU())
    if seed % 4 == 1:
        layers = [nn.Conv2d(1, 31, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(31, 10)]
    return convert(nn.Sequential(*layers).eval(), random_images(seed), timesteps=4)


class ByPlace:
    """A sound network whose rows round by their place; at place 0 a rounding flipped a spike."""

    def __init__(self, part=6e-8, places=8):
        self.inner, self.part, self.places = plain(0), part, places
        self.timesteps, self.num_classes = self.inner.timesteps, self.inner.num_classes
        self.device, self.fingerprint = self.inner.device, self.inner.fingerprint
        self.start, self.refill = self.inner.start, self.inner.refill

    def step(self, state):
        logits, state = self.inner.step(state)
        rounded = logits * (1 + self.part * (torch.arange(len(logits))[:, None] % self.places))
        rounded[0, 0] += 0.2
        return rounded, state


def test_a_rounding_by_place_is_reported_and_not_refused():
    rounding = bb.check_backbone(ByPlace(), random_images(0))
    assert rounding.largest > 1e-3
    assert rounding.rows > 0.5


def test_rows_that_keep_their_bits_are_reported_as_such():
    rounding = bb.check_backbone(plain(1), random_images(1))
    assert (rounding.largest, rounding.rows) == (0, 0)


def test_a_network_whose_rows_depend_on_their_place_is_refused():
    with pytest.raises(BackboneError, match="permuting them must permute the logits"):
        bb.check_backbone(ByPlace(part=0.01), random_images(0))


class TooFewRefilled(ByPlace):
    """Shows every refilled row the first new input."""

    def __init__(self):
        super().__init__(0)
        self.refill = lambda state, rows, inputs, keys: self.inner.refill(
            state, rows, inputs[:1].expand_as(inputs), keys
        )


def test_a_refill_with_another_row_s_input_is_refused():
    with pytest.raises(BackboneError, match="refilled rows must run like fresh ones"):
        bb.check_backbone(TooFewRefilled(), random_images(0))


@pytest.mark.parametrize("make", [plain, converted])
def test_sound_networks_are_not_refused(make):
    assert refused(make, range(12)) == {}


@pytest.mark.parametrize("make", [plain, converted])
def test_every_leak_between_rows_is_found(make):
    assert leaks_not_found(make, 13) == []


@pytest.mark.slow
@pytest.mark.parametrize(("make", "count"), [(plain, 300), (converted, 200)])
def test_none_of_many_sound_networks_is_refused_and_100_of_100_leaks_are_found(make, count):
    assert refused(make, range(count)) == {}
    assert leaks_not_found(make, 100) == []


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(64), nn.BatchNorm1d(64, track_running_stats=False)])
def test_a_norm_over_the_batch_is_a_leak(layer):
    class Normed(ByPlace):
        def __init__(self):
            super().__init__(0)
            self.start = lambda inputs, keys=None: self.inner.start(
                layer.train()(inputs.flatten(1)).view_as(inputs).detach().sigmoid(), keys
            )

    with pytest.raises(BackboneError, match="rows are independent"):
        bb.check_backbone(Normed(), random_images(0))
