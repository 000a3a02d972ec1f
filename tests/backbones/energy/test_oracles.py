"""The counts against SpikingJelly's and NeuroBench's, where these are installed (neither is a dependency)."""

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.energy import Metered

NETWORKS = ("small", "resnet9", "resnet20", "vgg11")


def lively(name):
    """An untrained network that spikes, some images, and our counts of all rows over two timesteps."""
    options = {} if name == "small" else {"width": 8}
    network = bb.build(name, num_classes=3, timesteps=2, input_shape=(2, 9, 9), **options)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight *= 8
    x = torch.rand(5, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    metered = Metered(network)
    state = metered.start(x)
    for _ in range(2):
        _, state = metered.step(state)
    counts = state.operations.counts
    assert (counts > 0).all()
    return network, x, counts.sum(0).tolist()


def run(network, x):
    state = network.start(x)
    for _ in range(2):
        _, state = network.step(state)


@pytest.mark.parametrize("name", NETWORKS)
def test_accumulates_are_spikingjellys_synaptic_operations(name):
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    network, x, (_, acs, _, _) = lively(name)
    counter = counters.SynOpCounter()
    with counters.DispatchCounterMode([counter]):
        run(network, x)
    assert counter.get_total() == acs


@pytest.mark.parametrize("name", NETWORKS)
def test_spikingjellys_multiply_accumulates_are_dense_and_take_padding_for_inputs(name):
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    network, x, (macs, _, _, _) = lively(name)
    counter = counters.MACCounter(extra_ignore_modules=[nn.BatchNorm2d])
    theirs = 0

    def add(layer, args, out):
        nonlocal theirs
        if not ((args[0] == 0) | (args[0] == 1)).all():
            outputs = out.numel() if isinstance(layer, nn.Conv2d) else len(out) * layer.out_features
            theirs += outputs * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    with counters.DispatchCounterMode([counter]):
        run(network, x)
    assert counter.get_total() == theirs > macs


@pytest.mark.parametrize("name", NETWORKS)
def test_operations_of_one_row_are_neurobenchs(name):
    layers = pytest.importorskip("neurobench.metrics.utils.layers")
    network, x, _ = lively(name)
    metered = Metered(network)
    state = metered.start(x[:1])
    for _ in range(2):
        _, state = metered.step(state)

    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, args: seen.append((layer, args[0])))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    run(network, x[:1])
    for hook in hooks:  # NeuroBench copies the layers, hooks and all
        hook.remove()
    found = [0, 0, 0]
    for layer, inputs in seen:
        operations, spiking = layers.single_layer_MACs(inputs, layer)
        found[int(spiking)] += operations
        found[2] += layers.single_layer_MACs(inputs, layer, total=True)[0]
    assert found == state.operations.counts[0, :3].tolist()
