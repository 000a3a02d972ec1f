"""Winograd convolutions in training: results and gradients of the direct ones."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.networks.kernels import winograd_training
from backbones.networks.kernels.winograd_training import faster_convolutions


def results(conv, x, dtype):
    """Output, and the gradients of input and weight."""
    conv, x = conv.to(dtype), x.to(dtype).requires_grad_(True)
    y = conv(x)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return y, *torch.autograd.grad((y * weight.to(dtype)).sum(), (x, conv.weight))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 4), (4, 8), (8, 8)])
@pytest.mark.parametrize("last", [False, True])
def test_results_and_gradients_are_those_of_the_convolution(height, width, last, monkeypatch):
    monkeypatch.setattr(winograd_training, "TOGETHER", 3)  # several parts, the last one smaller
    torch.manual_seed(0)
    conv = nn.Conv2d(128, 136, 3, padding=1, bias=False)
    x = torch.randn(7, 128, height, width)
    if last:
        x = x.to(memory_format=torch.channels_last)
    direct = results(conv, x, torch.float64)
    with faster_convolutions(conv):
        fast = results(conv, x, torch.float64)
    for one, other in zip(fast, direct, strict=True):
        assert not torch.equal(one, other)  # it is another way
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    with faster_convolutions(conv):
        fast = results(conv, x, torch.float32)
    for one, other in zip(fast, direct, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2e-5 * other.abs().max().item())


def test_evaluation_autocast_and_small_layers_are_left_alone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(16, 128, 3, padding=1, bias=False), nn.Conv2d(128, 128, 3, padding=1, bias=False))
    x = torch.randn(4, 16, 8, 8)
    expected = network(x)
    half = torch.autocast("cpu", torch.bfloat16)
    with half:
        expected_half = network(x)
    with faster_convolutions(network):
        assert not torch.equal(network(x), expected)
        assert torch.equal(network[0](x), network[0](x.clone()))
        with half:
            assert torch.equal(network(x), expected_half)
        assert torch.equal(network.eval()(x), expected)
    network.train()
    assert torch.equal(network(x), expected)


def test_a_network_trains_alike_with_it():
    def trained(block):
        torch.manual_seed(0)
        network = bb.build("resnet9", num_classes=10, timesteps=1, width=43).double().train()
        optimizer = torch.optim.SGD(network.parameters(), 0.05, 0.9)
        images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        losses = []
        with block(network):
            for _ in range(3):
                loss = nn.functional.cross_entropy(network(images).mean(0), torch.arange(4))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses, torch.cat([weight.detach().flatten() for weight in network.parameters()])

    losses, weights = trained(lambda network: nullcontext())
    assert losses[-1] < losses[0]
    fast_losses, fast_weights = trained(faster_convolutions)
    assert fast_losses == pytest.approx(losses, rel=1e-9)
    assert not torch.equal(fast_weights, weights)  # it was used
    torch.testing.assert_close(fast_weights, weights, rtol=1e-9, atol=1e-9)
