"""tdBN against its formula."""

import math

import pytest
import torch

import backbones as bb
from backbones.networks.norms import ThresholdBatchNorm2d, TimestepBatchNorm2d, TimestepScale, norm_maker


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
    with pytest.raises(bb.InputError, match=r"norm, got 'layer'. Known: bn, tdbn, tdbn-per-timestep"):
        norm_maker("layer", 1.0)


def test_statistics_per_timestep_are_those_of_each_timestep():
    norm = TimestepBatchNorm2d(3, 2, alpha=0.5, v_threshold=2.0).train()
    norm.momentum = 1.0
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x[4:] = 3 * x[4:] + 1
    norm.clock.set(torch.tensor([0] * 4 + [1] * 4))
    out = norm(x)
    for part in (slice(0, 4), slice(4, 8)):
        torch.testing.assert_close(out[part], torch.nn.BatchNorm2d(3)(x[part]))
    torch.testing.assert_close(norm.running_mean, torch.stack([x[:4].mean((0, 2, 3)), x[4:].mean((0, 2, 3))]))
    norm.eval()
    unbiased = x.view(2, 4, 3, 4, 4).transpose(1, 2).flatten(2).var(2)
    torch.testing.assert_close(norm.running_var, unbiased)
    norm.clock.set(torch.tensor([1, 0]))
    own = (x[[5, 2]] - norm.running_mean[[1, 0]][..., None, None]) / (unbiased[[1, 0]] + norm.eps).sqrt()[
        ..., None, None
    ]
    torch.testing.assert_close(norm(x[[5, 2]]), own)


def with_statistics_of_images(encoding):
    settings = {"num_classes": 5, "timesteps": 3, "input_shape": (3, 16, 16), "width": 4, "encoding": encoding}
    neuron = {"type": "lif", "v_threshold": 0.5}
    network = bb.build("resnet9", **settings, neuron=neuron, norm="tdbn-per-timestep")
    images = torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for module in network.modules():
        if isinstance(module, TimestepBatchNorm2d):
            module.momentum = 1.0  # statistics of these images, so that no layer is silent
    with torch.no_grad():
        network.train()(images)
    return network.eval(), images


@pytest.mark.parametrize("encoding", ["direct", "poisson"])
def test_a_network_with_statistics_per_timestep_keeps_the_contract(encoding):
    network, images = with_statistics_of_images(encoding)
    bb.check_backbone(network, images)
    state, outputs = network.start(images), network(images)
    for t in range(3):
        logits, state = network.step(state)
        torch.testing.assert_close(logits, outputs[: t + 1].mean(0))
    means = network.body.stages[0].norm.running_mean
    assert not torch.allclose(means[0], means[1])


def test_a_folded_norm_per_timestep_rescales_the_other_timesteps():
    generator = torch.Generator().manual_seed(0)
    norm = TimestepBatchNorm2d(3, 4, alpha=0.5, v_threshold=2.0).eval()
    for values in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        values.uniform_(0.2, 2.0, generator=generator)
    norm.weight.data[1] = 0  # a channel that is silenced
    x = torch.randn(6, 3, 5, 5, generator=generator)
    norm.clock.set(torch.zeros(6, dtype=torch.int64))
    first, rest = norm(x).detach(), TimestepScale(norm)
    rest.clock = norm.clock
    assert torch.equal(rest(first.clone()), first)
    for when in ([0, 1, 2, 3, 0, 0], [3, 3, 3, 3, 3, 3], [1, 1, 0, 0, 2, 2]):
        norm.clock.set(torch.tensor(when))
        for layout in (torch.contiguous_format, torch.channels_last):
            torch.testing.assert_close(rest(first.clone(memory_format=layout)), norm(x))
        half = first.bfloat16()
        scaled = rest(half.clone())
        assert scaled.dtype == torch.bfloat16
        assert torch.equal(scaled[rest.clock.when == 0], half[rest.clock.when == 0])
        torch.testing.assert_close(scaled.float(), norm(x), atol=0.05, rtol=0.02)


@pytest.mark.parametrize(
    ("encoding", "compile"),
    [("direct", False), ("poisson", False), pytest.param("poisson", True, marks=pytest.mark.slow)],
)
def test_norms_per_timestep_keep_their_answers_in_a_form_for_inference(encoding, compile):
    network, images = with_statistics_of_images(encoding)
    fast = network.optimize(compile=compile)
    bb.check_backbone(fast, images)
    state, after = network.start(images), fast.start(images)
    for _ in range(5):  # two timesteps longer than the network has statistics for
        logits, state = network.step(state)
        others, after = fast.step(after)
        assert (logits - others).abs().median() < 1e-5  # where a rounding flips a spike it is more
        images = images.flip(0)
        rows = torch.tensor([0, 3])
        state, after = (net.refill(s, rows, images[:2]) for net, s in ((network, state), (fast, after)))
