"""Foreign modules that compute QCFS are recognised by their outputs, and traced with their λ and L."""

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.conversion.converter import convert
from backbones.conversion.qcfs_modules import is_staircase, read_staircase
from backbones.conversion.tracing import trace
from tests.helpers.traced import IMAGES, logits, seeded


class QuantisedAs(nn.Module):
    """SEENN's and QCFS's own: one λ, learned, as `[1]`."""

    def __init__(self, levels=4, threshold=2.0, shift=0.5):
        super().__init__()
        self.thresh, self.L, self.shift = nn.Parameter(torch.tensor([threshold])), levels, shift

    def forward(self, x):
        x = torch.clamp(x / self.thresh, 0, 1)
        return torch.floor(x * self.L + self.shift) / self.L * self.thresh


class EachChannel(QuantisedAs):
    def __init__(self):
        super().__init__()
        self.thresh = nn.Parameter(torch.rand(1, 6, 1, 1) + 0.5)


class Squashes(nn.Module):
    """Of one number and its neighbours."""

    def forward(self, x):
        return torch.relu(x - x.mean()).round().clamp(0, 1)


@pytest.mark.parametrize("levels", [1, 2, 4, 7, 32, 1000])
@pytest.mark.parametrize("threshold", [0.013, 0.7, 8.0])
def test_a_foreign_qcfs_module_is_recognised_by_its_outputs(levels, threshold):
    found = read_staircase(QuantisedAs(levels, threshold))
    assert found == (pytest.approx(threshold), levels)
    assert is_staircase(QuantisedAs(levels, threshold), threshold, levels)
    assert not is_staircase(QuantisedAs(levels, threshold), threshold * 1.01, levels)
    assert not is_staircase(QuantisedAs(levels, threshold), threshold, levels + 1)


@pytest.mark.parametrize(
    "module",
    [
        nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Identity(), nn.Hardtanh(0, 1), nn.Linear(1, 1), EachChannel(),
        Squashes(), QuantisedAs(shift=0.0), nn.Flatten(),
    ],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_a_module_that_is_no_qcfs_is_not_taken_for_one(module):
    assert read_staircase(module) is None


def quantised(middle=None, **settings):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), QuantisedAs(**settings), nn.AvgPool2d(2), nn.Conv2d(6, 7, 3),
        middle or QuantisedAs(threshold=0.4, **settings), nn.Flatten(), nn.Linear(63, 9), QuantisedAs(threshold=0.8),
        nn.Linear(9, 5),
    )  # fmt: skip


def test_a_network_of_qcfs_modules_is_traced_to_the_bit_and_converted_with_its_own_thresholds():
    module = seeded(quantised).eval()
    network = trace(module, IMAGES)
    torch.testing.assert_close(logits(network), module(IMAGES / 255).detach(), rtol=1e-5, atol=1e-6)
    assert network.config["neuron"] == {"type": "qcfs"}
    converted = convert(module, IMAGES, timesteps=8)
    assert sorted(converted.config["neuron"]["thresholds"].values()) == pytest.approx([0.4, 0.8, 2.0])
    bb.check_backbone(converted, IMAGES)


def test_activations_may_have_different_levels_and_are_saved_with_them(tmp_path):
    module = seeded(quantised, QuantisedAs(7, 0.5)).eval()
    network = trace(module, IMAGES)
    torch.testing.assert_close(logits(network), module(IMAGES / 255).detach(), rtol=1e-5, atol=1e-6)
    bb.save(network, tmp_path / "net.safetensors")
    assert torch.equal(logits(bb.load(tmp_path / "net.safetensors")), logits(network))
    found = convert(bb.load(tmp_path / "net.safetensors"), timesteps=3).config["neuron"]["thresholds"]
    assert sorted(found.values()) == pytest.approx([0.5, 0.8, 2.0])


class Hidden(QuantisedAs):
    """With a tensor beside its λ, so that it is not asked."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.register_buffer("seen", torch.zeros(2))


def test_activations_describe_how_a_module_is_qcfs():
    module = seeded(quantised, Hidden(threshold=0.4)).eval()
    with pytest.raises(bb.InputError, match="pass activations="):
        convert(module, IMAGES)
    network = convert(module, IMAGES, activations={Hidden: lambda part: (part.thresh, part.L)})
    assert sorted(network.config["neuron"]["thresholds"].values()) == pytest.approx([0.4, 0.8, 2.0])
    for activations, message in (
        ({Hidden: lambda part: (0.5, part.L)}, r"Hidden at 5 to compute .* λ = 0.5 and L = 4, .* but it does not"),
        ({Hidden: lambda part: part.thresh}, r"activations\[Hidden\] to give \(threshold, levels\) of 5, but"),
        ({Hidden: lambda part: part.up}, r"of 5, but: 'Hidden' object has no attribute 'up'"),
        ({"Hidden": 3}, "activations to be a dictionary, each value a function"),
        ({"Hidden": read_staircase}, "activations to be a dictionary, each value a function"),
        ([Hidden], "Expected activations to be a dictionary"),
    ):
        with pytest.raises(bb.InputError, match=message):
            convert(module, IMAGES, activations=activations)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: quantised(nn.ReLU()), "one kind of activation, got QCFS and ReLUs"),
        (lambda: quantised(QuantisedAs(shift=0.1)), "got the tensor 5.thresh of its own"),
    ],
)
def test_other_activations_beside_qcfs_are_refused(module, message):
    with pytest.raises(bb.InputError, match=message):
        convert(seeded(module), IMAGES)
