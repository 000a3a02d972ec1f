"""A network without time and the spiking network that it becomes agree in the end."""

import json

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.contract import accuracy, make_keys
from backbones.conversion.converter import convert
from backbones.networks import SpikingNetwork
from backbones.networks.neurons.activations import QCFS
from backbones.networks.neurons.converted import ConvertedIF
from backbones.training.loop import TrainingConfig, train
from tests.helpers.programs import ROOT, load_program

NETWORKS = ("resnet9", "resnet18", "resnet20", "resnet34", "small", "vgg16")
IMAGES = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def ann(name: str = "small", neuron="qcfs", **settings) -> SpikingNetwork:
    """A network without time whose norms know these images, so that no layer is silent."""
    settings = {"num_classes": 5, "timesteps": 1, "input_shape": (3, 16, 16), "width": 4, **settings}
    network = bb.build(name, neuron=neuron, mean=0.5, std=0.25, **settings)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(IMAGES)
    return network.eval()


def outputs(network: SpikingNetwork, images: torch.Tensor = IMAGES) -> list[torch.Tensor]:
    state, found = network.start(images), []
    for _ in range(network.timesteps):
        logits, state = network.step(state)
        found.append(logits)
    return found


def test_qcfs_of_values_worked_out_by_hand():
    current = torch.tensor([-1.0, 0.0, 0.24, 0.25, 0.74, 0.75, 1.0, 1.74, 1.75, 2.0, 9.0])
    # L = 4, λ = 2: steps of ½, each beginning a quarter before
    expected = torch.tensor([0, 0, 0, 0.5, 0.5, 1, 1, 1.5, 2, 2, 2])
    assert torch.equal(QCFS(levels=4, threshold=2.0).fire(current), expected)


def test_gradients_of_qcfs_are_those_of_a_clip_with_the_rounding_as_a_constant():
    activation = QCFS(levels=4, threshold=2.0)
    current = torch.tensor([-1.0, 0.6, 3.0], requires_grad=True)
    activation.fire(current).sum().backward()
    assert current.grad.tolist() == [0, 1, 0]
    # inside: level - z/λ = ¼ - 0.3; above: 1; below: 0
    assert activation.threshold.grad.item() == pytest.approx(0.25 - 0.3 + 1, abs=1e-6)


@pytest.mark.parametrize("levels", [1, 4, 8])
def test_spikes_over_as_many_timesteps_as_levels_are_the_activation(levels):
    threshold = 1.5
    current = torch.linspace(-1, 3, 997)
    neuron = ConvertedIF(threshold)
    v, total = neuron.initial(current), torch.zeros_like(current)
    for _ in range(levels):
        spikes, v = neuron(current, v)
        total += spikes
    torch.testing.assert_close(total / levels, QCFS(levels, threshold).fire(current).detach())


def test_a_converted_neuron_worked_out_by_hand():
    neuron = ConvertedIF(2.0)
    current, v = torch.tensor([[1.0]]), torch.tensor([[torch.nan]])
    spikes, v = neuron(current, v, torch.tensor([True]))  # fresh: starts at 1, reaches 2, fires at the threshold
    assert (spikes.item(), v.item()) == (2, 0)
    spikes, v = neuron(current, v)
    assert (spikes.item(), v.item()) == (0, 1)
    spikes, v = neuron(current, v)
    assert (spikes.item(), v.item()) == (2, 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_converted_networks_keep_the_contract_and_both_forms_agree(name):
    network = convert(ann(name), timesteps=3)
    bb.check_backbone(network, IMAGES)
    each = network(IMAGES)
    for t, logits in enumerate(outputs(network), 1):
        torch.testing.assert_close(logits, each[:t].mean(0))


@pytest.mark.parametrize("name", ["small", "resnet9"])
def test_the_more_timesteps_the_nearer_the_network_without_time(name):
    before = ann(name, "relu")
    found = outputs(convert(before, IMAGES, timesteps=128, method="max"))
    (wanted,) = outputs(before)
    error = [float((logits - wanted).abs().mean() / wanted.std()) for logits in found]
    assert error[127] < 0.2
    assert error[127] < error[15] / 3 < error[0] / 3


def test_a_network_of_one_layer_is_exact_after_as_many_timesteps_as_levels():
    nodes = [
        {
            "name": "conv",
            "layer": "conv",
            "inputs": ["image"],
            "settings": {"in_channels": 3, "out_channels": 4, "kernel_size": 3},
        },
        {"name": "spike", "layer": "neuron", "inputs": ["conv"], "settings": {}},
        {"name": "flat", "layer": "flatten", "inputs": ["spike"], "settings": {}},
        {"name": "readout", "layer": "linear", "inputs": ["flat"], "settings": {"in_features": 784, "out_features": 5}},
    ]
    before = bb.build(
        "graph", num_classes=5, timesteps=1, input_shape=(3, 16, 16), neuron={"type": "qcfs", "levels": 8}, nodes=nodes
    )
    found = outputs(convert(before, timesteps=8))
    torch.testing.assert_close(found[7], outputs(before)[0], atol=1e-4, rtol=1e-4)


def test_each_neuron_has_the_threshold_that_its_activation_learned_and_starts_at_half_of_it():
    before = ann()
    with torch.no_grad():
        before.body.first.threshold.fill_(1.37)
        before.body.second.threshold.fill_(0.71)
    network = convert(before, timesteps=3)
    assert [network.body.first.v_threshold, network.body.second.v_init] == pytest.approx([1.37, 0.355])
    assert network.body.first.height == network.body.first.v_threshold
    assert before.config["neuron"] == {"type": "qcfs"}  # it stays as it is
    with torch.no_grad():
        before.stem[0].weight.zero_()
    assert network.stem[0].weight.abs().sum() > 0


def test_a_saved_converted_network_comes_back_the_same(tmp_path):
    network = convert(ann("resnet9"), timesteps=6)
    bb.save(network, tmp_path / "a.safetensors")
    again = bb.load(tmp_path / "a.safetensors")
    assert again.fingerprint == network.fingerprint
    for one, other in zip(outputs(again), outputs(network), strict=True):
        assert torch.equal(one, other)
    assert convert(ann("resnet9"), timesteps=7).fingerprint != network.fingerprint


def test_thresholds_do_not_round_where_the_weights_are_bfloat16():
    network = convert(ann(neuron={"type": "qcfs", "threshold": 1.37}), timesteps=8)
    wanted, threshold = outputs(network)[-1], network.body.first.v_threshold
    found = outputs(network.to(torch.bfloat16))[-1]
    assert network.body.first.v_threshold == threshold
    assert float((found - wanted).abs().mean()) < 0.1 * float(wanted.std())


def test_hidden_activity_is_the_share_of_spikes_at_any_threshold():
    network = convert(ann("vgg11"), timesteps=4)
    state = network.start(IMAGES)
    _, state = network.step(state)
    last = network.body.neurons[-1]
    last.v_threshold = last.height = 3.0
    hidden = network.probe(state)["hidden"]
    _, H, W = state.membranes[-1].shape[1:]
    assert 0 < hidden.max() <= 1
    torch.testing.assert_close(hidden * H * W, (hidden * H * W).round())


def test_thresholds_from_data_are_the_largest_value_or_the_percentile_of_each_layer():
    before = ann("small", "relu")
    seen: list[torch.Tensor] = []

    def watch(neuron, current):
        seen.append(neuron.fire(current).flatten())
        return neuron.fire(current)

    with torch.no_grad():
        before.body(before.start(IMAGES).source, watch)
    for batch_size in (3, 8):
        largest = convert(before, IMAGES, method="max", batch_size=batch_size)
        middle = convert(before, IMAGES, percentile=90, batch_size=batch_size)
        for place, path in enumerate(("first", "second")):
            assert getattr(largest.body, path).v_threshold == pytest.approx(seen[place].max().item(), rel=1e-5)
            expected = seen[place].quantile(0.9, interpolation="higher").item()
            assert getattr(middle.body, path).v_threshold == pytest.approx(expected, rel=1e-5)


def test_digits_converted_are_within_half_a_point_after_32_timesteps(digits):
    network = bb.build(
        "small",
        num_classes=10,
        timesteps=1,
        input_shape=(1, 8, 8),
        neuron={"type": "qcfs", "levels": 8},
        mean=0.3,
        std=0.38,
    )
    train(network, digits, TrainingConfig(epochs=6, loss="mean", learning_rate=1e-2))
    images = [(digits[split].images, digits[split].labels, digits[split].index) for split in ("policy", "test")]
    converted = convert(network, timesteps=32)
    right = {}
    for kind, each in (("before", network), ("after", converted)):
        found = [accuracy(each, x, y, make_keys(i)) * len(y) for x, y, i in images]
        right[kind] = sum(found) / sum(len(y) for _, y, _ in images)
    assert right["before"][0] > 0.9
    assert right["after"][-1] == pytest.approx(right["before"][0], abs=0.005)


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (lambda: bb.build("small", num_classes=5, timesteps=2), {}, "got one that spikes: body.first is LIF"),
        (lambda: ann(), {"timesteps": 0}, "timesteps to be a whole number of 1 or more, got 0"),
        (lambda: ann(), {"method": "max"}, "no method for a QCFS network, whose thresholds are learned, got 'max'"),
        (lambda: ann(), {"method": "luck"}, "method to be 'max' or 'percentile' or None, got 'luck'"),
        (lambda: ann(neuron="relu"), {}, "images .* to set the thresholds of ReLUs on, got none"),
        (
            lambda: ann(neuron="relu"),
            {"images": IMAGES, "percentile": 101},
            "percentile to be a number above 0 and of 100 or less, got 101",
        ),
        (lambda: ann(neuron="relu"), {"images": IMAGES[:0]}, "images to set thresholds on, got none"),
        (lambda: nn.Linear(3, 2), {}, "images .* to set a module's thresholds on, got none"),
    ],
)
def test_a_network_that_cannot_be_converted_is_one_sentence(network, arguments, message):
    with pytest.raises(bb.InputError, match=message):
        convert(network(), **arguments)


def test_a_threshold_that_was_learned_below_0_is_refused_by_its_path():
    before = ann()
    with torch.no_grad():
        before.body.second.threshold.fill_(-0.1)
    with pytest.raises(bb.InputError, match=r"λ above 0 of every activation, got -0.1 of body.second"):
        convert(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timesteps": 4}, "timesteps=1 and encoding='direct' with the activation 'qcfs', got 4 and 'direct'"),
        ({"encoding": "poisson"}, "got 1 and 'poisson'"),
        ({"neuron": {"type": "qcfs", "levels": 0}}, "levels to be a whole number of 1 or more, got 0"),
        ({"neuron": {"type": "qcfs", "threshold": 0}}, "threshold to be a number above 0, got 0"),
        ({"neuron": {"type": "converted-if", "thresholds": {"body.third": 1.0}}}, "got one of 'body.third'"),
    ],
)
def test_bad_settings_of_networks_without_time_are_one_sentence(settings, message):
    settings = {"num_classes": 5, "timesteps": 1, "neuron": "qcfs", **settings}
    with pytest.raises(bb.InputError, match=message):
        bb.build("small", **settings)


def test_the_page_on_conversion_shows_the_figures_that_the_benchmark_wrote():
    found = json.loads((ROOT / "benchmarks" / "conversion" / "conversion.json").read_text())
    tables = load_program("benchmarks/conversion/conversion").tables(found)
    assert tables in (ROOT / "docs" / "conversion.md").read_text()
