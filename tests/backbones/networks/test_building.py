"""`build` makes the network that its arguments describe, or refuses them in one sentence."""

import pytest
import torch

import backbones as bb
from backbones.networks import IF, SpikingNetwork


def make(**settings) -> SpikingNetwork:
    settings = {"num_classes": 10, "timesteps": 4, "input_shape": (1, 8, 8), "width": 4, **settings}
    return bb.build("small", **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "huge"}, "network, got 'huge'. Known: .*small"),
        ({"timesteps": 0}, "timesteps to be a whole number of 1 or more and of 65536 or less, got 0"),
        ({"num_classes": 1}, "num_classes to be a whole number of 2 or more, got 1"),
        ({"depth": 3}, "option of network 'small', got 'depth'. Known: width"),
        ({"std": 0.0}, "std above 0, got 0.0"),
        ({"mean": [0.1, 0.2]}, r"mean as one number, or one for each of \d+ channels, got \[0.1, 0.2\]"),
        ({"mean": float("inf")}, "mean to be a number that is finite or a sequence"),
        ({"seed": -1}, "Expected seed to be a whole number of 0 or more, got -1."),
        ({"seed": 1.5}, "Expected seed to be a whole number of 0 or more, got 1.5."),
        ({"encoding_seed": -1}, "Expected encoding_seed to be a whole number of 0 or more, got -1."),
        ({"neuron": "alif"}, "neuron, got 'alif'. Known: converted-if, if, lif"),
        ({"neuron": {"type": "lif", "tau": 2}}, "argument of LIF, got 'tau'"),
    ],
)
def test_bad_arguments_of_build_are_one_sentence(arguments, message):
    arguments = {"network": "small", "num_classes": 10, "timesteps": 4, **arguments}
    with pytest.raises(bb.InputError, match=message):
        bb.build(arguments.pop("network"), **arguments)


@pytest.mark.parametrize(
    "neuron",
    [
        bb.LIF(decay=0.7, v_threshold=0.3),
        bb.LIF(v_reset=-0.2, v_init=0.0, surrogate="atan", surrogate_options={"alpha": 1.0}),
        bb.LIF(v_reset=None, inclusive=True, detach_reset=True),
        IF(0.4, v_init=0.2),
    ],
)
def test_a_neuron_is_built_like_the_one_that_is_given(neuron, tmp_path):
    network = make(neuron=neuron)
    made = [module for module in network.modules() if isinstance(module, bb.LIF)]
    assert made
    assert all(type(one) is type(neuron) and one.settings() == neuron.settings() for one in made)
    bb.save(network, tmp_path / "a.safetensors")
    assert bb.load(tmp_path / "a.safetensors").fingerprint == network.fingerprint


def test_a_neuron_and_its_name_are_the_same_network():
    assert make(neuron=bb.LIF()).fingerprint == make(neuron="lif").fingerprint


@pytest.mark.parametrize("neuron", [3, bb.LIF, {"decay": 0.5}, torch.nn.ReLU()])
def test_a_value_that_is_no_neuron_is_refused_in_a_sentence(neuron):
    with pytest.raises(bb.InputError, match="Expected neuron to be "):
        make(neuron=neuron)


def test_a_seed_decides_the_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    one, two, other = make(seed=3), make(seed=3), make(seed=4)
    assert torch.equal(torch.rand(1), before)
    assert one.fingerprint == two.fingerprint != other.fingerprint
