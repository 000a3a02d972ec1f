"""Winograd convolutions: the results of direct ones, independent of the other rows."""

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.networks.inference.inference_network import parts_of
from backbones.networks.kernels.winograd import WinogradConv2d, use_winograd


def images(count, channels, height, width, spikes=True):
    values = torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))
    values = (values > 0.8).float() if spikes else values - 0.5
    return values.to(memory_format=torch.channels_last)


def make(C=128, K=136, height=8, width=8, bias=True):
    torch.manual_seed(0)
    conv = nn.Conv2d(C, K, 3, padding=1, bias=bias).requires_grad_(False)
    return conv, WinogradConv2d(conv, height, width)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 4), (4, 8), (8, 8), (4, 12)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("spikes", [True, False])
def test_it_is_the_convolution(height, width, bias, spikes):
    conv, fast = make(24, 40, height, width, bias)
    x = images(64, 24, height, width, spikes)
    expected = nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double() if bias else None, padding=1)
    torch.testing.assert_close(fast(x).double(), expected, rtol=0, atol=2e-5)
    assert fast(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [16, 17, 32, 40, 63, 64])
def test_a_row_is_the_same_in_any_place_and_beside_any_others(count):
    _, fast = make()
    x = images(count, 128, 8, 8)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    y = fast(x)
    assert torch.equal(fast(x[order]), y[order])
    other = images(count, 128, 8, 8, spikes=False)
    other[3] = x[3]
    assert torch.equal(fast(other)[3], y[3])


def test_few_rows_are_computed_directly():
    conv, fast = make()
    x = images(15, 128, 8, 8)
    assert torch.equal(fast(x), conv(x))
    x = images(16, 128, 8, 8)
    assert not torch.equal(fast(x), conv(x))


def test_it_replaces_only_convolutions_that_fit_and_are_large_enough():
    def conv(*arguments, **settings):
        return nn.Conv2d(*arguments, **settings)

    body = nn.ModuleDict(
        {
            "fits": conv(128, 128, 3, padding=1),
            "strided": conv(128, 128, 3, padding=1, stride=2),
            "narrow": conv(64, 128, 3, padding=1),
            "odd": conv(128, 128, 3, padding=1),
            "large": conv(128, 128, 3, padding=1),
            "pointwise": conv(128, 128, 1),
            "grouped": conv(128, 128, 3, padding=1, groups=2),
            "reflecting": conv(128, 128, 3, padding=1, padding_mode="reflect"),
        }
    )
    sizes = dict.fromkeys(body.values(), (8, 8)) | {body["odd"]: (6, 8), body["large"]: (16, 16)}
    assert use_winograd(body, sizes) == 1
    assert [name for name, module in body.items() if isinstance(module, WinogradConv2d)] == ["fits"]


def test_all_parts_of_a_batch_are_computed_alike():
    for batch in range(1, 400):
        parts = parts_of(batch)
        sizes = [part.stop - part.start for part in parts]
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert sum(sizes) == batch
        assert max(sizes) <= 64
        assert len({size == 64 for size in sizes}) == 1
        assert batch < 64 or min(sizes) >= 32


def wide():
    """With norms that have seen something, so that neurons fire."""
    network = bb.build(
        "resnet9", num_classes=10, timesteps=2, input_shape=(3, 32, 32), width=44, neuron={"type": "lif"}
    )
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.05, 0.2, generator)
            nn.init.normal_(module.bias, 0.1, 0.5, generator)
    return network


def test_a_network_uses_it_gives_the_same_answers_and_names_it_in_its_form():
    plain = wide()
    fast, direct = plain.optimize(winograd=True), plain.optimize()
    assert fast.form == "folded+float32+channels_last+winograd"
    assert direct.form == "folded+float32+channels_last"
    assert fast.fingerprint != direct.fingerprint
    assert sum(isinstance(module, WinogradConv2d) for module in fast.modules()) == 4
    for settings in ({"channels_last": False}, {"dtype": "bfloat16", "min_agreement": None}):
        other = plain.optimize(winograd=True, **settings)
        assert not any(isinstance(module, WinogradConv2d) for module in other.modules())
    x = torch.rand(70, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, other = fast.start(x), direct.start(x)
    same = []
    for _ in range(2):
        (logits, one), (expected, other) = fast.advance(one), direct.advance(other)
        assert logits.std(0).min() > 0
        same.append(logits.argmax(-1) == expected.argmax(-1))
        assert (logits - expected).abs().median() < 1e-4
    assert torch.stack(same).float().mean() > 0.98


@pytest.mark.slow  # rows are compared in small above
def test_a_network_with_it_keeps_the_contract_where_a_batch_is_cut_in_parts():
    fast = wide().optimize(winograd=True)
    x = torch.rand(72, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bb.check_backbone(fast, x)
