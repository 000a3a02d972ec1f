"""The pass over all timesteps: spikes and gradients of stepping, in any memory format."""

import itertools

import pytest
import torch

import backbones as bb
from backbones.networks.kernels import neuron_over_time as neuron_pass
from backbones.networks.kernels.neuron_over_time import fire_over_time
from backbones.networks.neurons.neuron import IF, LIF, PLIF

T, B = 4, 3
SHAPE = (B, 5, 6, 7)
NEURONS = [
    LIF(),
    LIF(decay=0.7, v_threshold=0.8, surrogate="atan", inclusive=True),
    LIF(decay=0.7, v_init=0.3, detach_reset=True),
    LIF(decay=0.6, v_reset=None, surrogate="sigmoid"),
    IF(v_init=0.5, surrogate="dspike"),
    IF(detach_reset=True, surrogate_options={"gamma": 1.5}),
    LIF(v_reset=-0.4),  # rests elsewhere: step by step
    PLIF(decay=0.6),  # likewise
]
NAMES = [f"{type(neuron).__name__}-{neuron.extra_repr()}" for neuron in NEURONS]


def stepped(neuron: LIF, current: torch.Tensor, static: bool) -> torch.Tensor:
    """Spikes by the neuron's own step."""
    v = neuron.initial(current[:B])
    spikes = []
    for t in range(T):
        fired, v = neuron(current if static else current[t * B : (t + 1) * B], v)
        spikes.append(fired)
    return torch.cat(spikes)


def gradient(spikes: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
    weight = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1), dtype=spikes.dtype)
    (found,) = torch.autograd.grad((spikes * weight).sum(), current)
    return found


@pytest.mark.parametrize("neuron", NEURONS, ids=NAMES)
@pytest.mark.parametrize(("static", "last"), list(itertools.product([False, True], repeat=2)))
def test_spikes_and_gradients_are_those_of_stepping(neuron, static, last, monkeypatch):
    monkeypatch.setattr(neuron_pass, "CHUNK", 100)  # several chunks, the last one shorter
    shape = SHAPE if static else (T * B, *SHAPE[1:])
    current = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.4
    if last:
        current = current.contiguous(memory_format=torch.channels_last)
    current.requires_grad_(True)
    spikes = fire_over_time(neuron, current, T, static=static)
    expected = stepped(neuron, current, static)
    assert 0.05 < spikes.mean() < 0.95
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(gradient(spikes, current), gradient(expected, current), rtol=1e-12, atol=1e-12)


def test_one_timestep_fires_without_leak_or_reset():
    current = torch.tensor([[0.5, 1.5, 1.0]], requires_grad=True)
    spikes = fire_over_time(LIF(), current, 1)
    spikes.sum().backward()
    assert spikes.tolist() == [[0, 1, 0]]
    assert current.grad.tolist() == [[0.5, 0.5, 1.0]]


def test_spikes_keep_dtype_and_memory_format():
    current = torch.randn(T * B, 5, 6, 7).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    spikes = fire_over_time(LIF(), current, T)
    assert spikes.dtype == torch.bfloat16
    assert spikes.is_contiguous(memory_format=torch.channels_last)


def test_potentials_of_bfloat16_currents_are_float32():
    # ½·0.99609375 + ½ = 1 - 2⁻⁹ stays below the threshold; bfloat16 would round it up to 1.
    current = torch.tensor([[0.99609375], [0.5]], dtype=torch.bfloat16)
    assert fire_over_time(LIF(inclusive=True), current, 2).flatten().tolist() == [0, 0]
    assert stepped_in_half(LIF(inclusive=True), current) == [0, 1]


def stepped_in_half(neuron: LIF, current: torch.Tensor) -> list[float]:
    v, spikes = torch.zeros(1, dtype=current.dtype), []
    for now in current:
        fired, v = neuron(now, v)
        spikes.append(fired.item())
    return spikes


def test_a_network_has_the_gradients_of_its_own_steps():
    settings = {"num_classes": 5, "timesteps": 3, "input_shape": (3, 16, 16), "width": 4, "mean": 0.5, "std": 0.25}
    network = bb.build("resnet9", **settings).double().train()
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for neuron in (LIF, type("Stepped", (LIF,), {})):  # a class of its own is stepped
        for module in network.modules():
            if isinstance(module, LIF):
                module.__class__ = neuron
        network.zero_grad()
        network(images).square().sum().backward()
        found.append([weight.grad.clone() for weight in network.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.slow  # the compiler needs half a minute
@pytest.mark.parametrize("neuron", [LIF(), IF(detach_reset=True)])
@pytest.mark.parametrize("static", [False, True])
def test_a_compiled_pass_gives_the_same(neuron, static):
    current = torch.randn(SHAPE if static else (T * B, *SHAPE[1:]), generator=torch.Generator().manual_seed(0)) + 0.4
    current.requires_grad_(True)
    one, other = (fire_over_time(neuron, current, T, static=static, compiled=compiled) for compiled in (False, True))
    assert torch.equal(one, other)
    torch.testing.assert_close(gradient(one, current), gradient(other, current))
