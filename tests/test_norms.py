"""tdBN against its formula."""

import math

import pytest
import torch

import backbones as bb
from backbones.norms import ThresholdBatchNorm2d, norm_maker


def fresh(**settings) -> ThresholdBatchNorm2d:
    norm = ThresholdBatchNorm2d(3, **settings)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(3, generator=generator) + 0.5)
        norm.bias.copy_(torch.rand(3, generator=generator))
    return norm


def test_training_uses_statistics_over_time_batch_and_space():
    x = torch.randn(4 * 5, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 + 1  # T·B merged
    norm = fresh(alpha=0.7, v_threshold=1.5).train()
    mean = x.mean((0, 2, 3), keepdim=True)
    var = x.var((0, 2, 3), unbiased=False, keepdim=True)
    gamma, beta = norm.weight.view(-1, 1, 1), norm.bias.view(-1, 1, 1)
    expected = gamma * 0.7 * 1.5 * (x - mean) / torch.sqrt(var + norm.eps) + beta
    torch.testing.assert_close(norm(x), expected)


def test_evaluation_is_the_formula_with_the_running_estimates():
    norm = fresh(alpha=1 / math.sqrt(2), v_threshold=2.0)
    for _ in range(3):
        norm(torch.randn(8, 3, 4, 4))
    norm.eval()
    x = torch.randn(5, 3, 4, 4)
    mean, var = norm.running_mean.view(-1, 1, 1), norm.running_var.view(-1, 1, 1)
    gamma, beta = norm.weight.view(-1, 1, 1), norm.bias.view(-1, 1, 1)
    expected = gamma * (2 / math.sqrt(2)) * (x - mean) / torch.sqrt(var + norm.eps) + beta
    torch.testing.assert_close(norm(x), expected)


def test_a_fresh_norm_gives_currents_of_standard_deviation_alpha_times_threshold():
    x = torch.randn(64, 3, 8, 8) * 5 - 3
    out = ThresholdBatchNorm2d(3, alpha=0.5, v_threshold=3.0)(x)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.full((3,), 1.5), rtol=1e-3, atol=0)


def test_norms_are_made_by_name():
    assert isinstance(norm_maker("tdbn", 1.0)(4, alpha=0.5), ThresholdBatchNorm2d)
    assert type(norm_maker("bn", 1.0)(4, alpha=0.5)) is torch.nn.BatchNorm2d
    with pytest.raises(bb.InputError, match=r"norm, got 'layer'. Known: bn, tdbn"):
        norm_maker("layer", 1.0)
