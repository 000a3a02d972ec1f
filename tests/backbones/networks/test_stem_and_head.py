"""Rows of a network's last layer are independent, however few classes it has."""

import pytest
import torch
from torch import nn

from backbones.networks.stem_and_head import NarrowLinear, readout


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
@pytest.mark.parametrize("features", [64, 128, 256])
def test_permuted_rows_have_permuted_outputs_bit_for_bit(classes, features):
    layer = readout(features, classes)
    with torch.no_grad():
        for rows in range(2, 13):
            x, order = torch.rand(rows, features), torch.randperm(rows)
            assert torch.equal(layer(x)[order], layer(x[order]))


def test_it_is_a_linear_layer_with_the_same_weights_and_gradients():
    narrow = readout(8, 2)
    plain = nn.Linear(8, 2)
    plain.load_state_dict(narrow.state_dict())
    assert isinstance(narrow, NarrowLinear)
    assert type(readout(8, 4)) is nn.Linear
    x = torch.rand(5, 8)
    torch.testing.assert_close(narrow(x), plain(x))
    for layer in (narrow, plain):
        layer(x).square().sum().backward()
    torch.testing.assert_close(narrow.weight.grad, plain.weight.grad)
    torch.testing.assert_close(narrow.bias.grad, plain.bias.grad)
