"""Random and mixed timesteps, distillation, accumulation, statistics estimated anew."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.training.loop import TrainingConfig, train
from backbones.training.losses import distillation_loss, teacher_logits
from backbones.training.mixed_time import change_time, draw_times, draw_timesteps, forward_mixed, groups, stage_heads
from backbones.training.norm_statistics import reestimate_norms

IMAGES = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KEYS = torch.zeros(4, dtype=torch.int64)


def make(seed: int = 0, timesteps: int = 3) -> SpikingNetwork:
    return bb.build("small", num_classes=10, timesteps=timesteps, input_shape=(1, 8, 8), width=4, seed=seed)


def narrow(name: str, T: int = 4) -> SpikingNetwork:
    settings = {"num_classes": 5, "timesteps": T, "input_shape": (3, 16, 16), "width": 4, "mean": 0.5, "std": 0.25}
    return bb.build(name, **settings, neuron={"type": "lif", "v_threshold": 0.5}).double()


def test_timesteps_are_drawn_from_seed_and_step_alone():
    drawn = [draw_timesteps(4, seed=1, step=step) for step in range(400)]
    assert drawn == [draw_timesteps(4, seed=1, step=step) for step in range(400)]
    assert drawn != [draw_timesteps(4, seed=2, step=step) for step in range(400)]
    counts = np.bincount(drawn, minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 60
    times = draw_times(8, 6, seed=0, step=3, sample=1)
    assert times == draw_times(8, 6, seed=0, step=3, sample=1) != draw_times(8, 6, seed=0, step=3, sample=2)
    assert all(1 <= T <= 6 for T in times)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (2, 4, [[0], [0], [1], [1]]),
        (3, 1, [[0, 1, 2]]),
        (1, 3, [[0], [0], [0]]),
        (5, 2, [[0, 1], [2, 3, 4]]),  # the half way between is rounded down
        (2, 5, [[0], [0], [1], [1], [1]]),
        (5, 3, [[0, 1], [2], [3, 4]]),
    ],
)
def test_neighbouring_timesteps_are_added_up_or_repeated(before, after, expected):
    assert groups(before, after) == expected
    steps = torch.arange(before * 2.0).view(before, 2)
    out = change_time(steps.reshape(before * 2, 1), before, after).view(after, 2)
    assert torch.equal(out, torch.stack([steps[group].sum(0) for group in expected]))


@pytest.mark.parametrize(("name", "stages"), [("resnet19", 8), ("resnet9", 3), ("vgg11", 8)])
def test_stages_are_blocks_or_convolutions(name, stages):
    assert len(stage_heads(narrow(name))) + 1 == stages


@pytest.mark.parametrize("name", ["resnet19", "resnet9", "vgg11"])
def test_equal_timesteps_everywhere_are_the_plain_pass(name):
    network = narrow(name)
    stages = len(stage_heads(network)) + 1
    assert torch.equal(forward_mixed(network, IMAGES, KEYS, [3] * stages), network(IMAGES, timesteps=3))
    times = [1 + i % 3 for i in range(stages)]
    outputs = forward_mixed(network.train(), IMAGES, KEYS, times)
    assert outputs.shape == (times[-1], 4, 5)
    outputs.square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    with pytest.raises(bb.InputError, match=f"timesteps of {stages} stages, got 1"):
        forward_mixed(network, IMAGES, KEYS, [1])


def test_a_mixed_pass_is_what_its_parts_do():
    network = bb.build("small", num_classes=5, timesteps=4, input_shape=(3, 16, 16), width=4).double()
    found = forward_mixed(network, IMAGES, KEYS, [4, 2])
    current = network.stem(network.normalised(IMAGES))
    v, spikes = torch.zeros_like(current), []
    for _ in range(4):
        fired, v = network.body.first(current, v)
        spikes.append(fired)
    v, outputs = None, []
    for pair in (spikes[0] + spikes[1], spikes[2] + spikes[3]):
        now = network.body.norm(network.body.conv(pair))
        fired, v = network.body.second(now, torch.zeros_like(now) if v is None else v)
        outputs.append(network.head(fired))
    torch.testing.assert_close(found, torch.stack(outputs))


@pytest.mark.parametrize("mixing", ["random-t", "mtt"])
def test_a_network_learns_with_random_timesteps_and_resumes(digits, tmp_path, mixing):
    config = TrainingConfig(epochs=3, learning_rate=1e-2, mixing=mixing, mtt_samples=2, reestimate=2, loss="mean")
    whole, killed = make(), make()
    result = train(whole, digits, config)
    assert result.losses[-1] < result.losses[0]
    assert result.accuracy[-1] > 0.4

    def stop(epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, digits, config, resume=tmp_path / "a.pt", on_epoch=stop)
    again = make()
    train(again, digits, config, resume=tmp_path / "a.pt")
    assert again.fingerprint == whole.fingerprint


def test_distillation_is_its_formula_worked_out_by_hand():
    student, teacher = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[2 * math.log(3), 0.0]])
    # At τ = 2 the teacher says (3/4, 1/4), the student (1/2, 1/2).
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert distillation_loss(student, teacher, temperature=2).item() == pytest.approx(expected)
    assert distillation_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)


def test_a_student_follows_its_teacher(digits):
    torch.manual_seed(0)
    teacher = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    images = torch.from_numpy(digits.train.images)

    def apart(network) -> float:
        with torch.no_grad():
            return distillation_loss(
                network(images), teacher_logits(teacher, network, images, KEYS), temperature=2
            ).item()

    alone, taught = make(), make()
    short = TrainingConfig(epochs=3, learning_rate=1e-2)
    train(alone, digits, short)
    train(taught, digits, replace(short, distill_weight=0.9, distill_temperature=2.0), teacher=teacher)
    assert apart(taught) < 0.5 * apart(alone)


def test_a_form_for_inference_teaches_as_its_plain_network_and_is_not_trained(digits):
    plain, images, keys = make(), torch.as_tensor(digits.train.images[:8]), torch.arange(8)
    fast = plain.optimize()
    torch.testing.assert_close(
        teacher_logits(fast, plain, images, keys), teacher_logits(plain, plain, images, keys), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(bb.InputError, match="plain network to train"):
        train(fast, digits)


def test_a_teacher_and_its_weight_come_together(digits):
    with pytest.raises(bb.InputError, match=r"exactly where distill_weight is above 0, got .*0.5 and no teacher"):
        train(make(), digits, TrainingConfig(distill_weight=0.5))
    with pytest.raises(bb.InputError, match=r"got distill_weight=0.0 and a teacher"):
        train(make(), digits, teacher=make())
    wrong = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    with pytest.raises(bb.InputError, match=r"teacher that gives \[64, 10\] logits, got \[64, 3\]"):
        train(make(), digits, TrainingConfig(distill_weight=0.5), teacher=wrong)


def test_accumulated_parts_give_the_gradient_of_the_whole(digits):
    ends = []
    for accumulate in (1, 4):
        network = make().double()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
                module.train = lambda mode=True, module=module: module  # statistics of a part would differ
        samples = replace(digits, train=digits.train.select(slice(0, 64)))
        config = TrainingConfig(
            epochs=2, batch_size=32, accumulate=accumulate, optimizer="sgd", learning_rate=0.05, schedule="cosine"
        )
        train(network, samples, config)
        ends.append([weight.detach().clone() for weight in network.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_statistics_estimated_anew_are_the_mean_over_the_batches():
    network = narrow("resnet9").eval()
    batches = [(IMAGES[:2], KEYS[:2]), (IMAGES[2:], KEYS[2:])]
    reestimate_norms(network, batches, 2)
    assert not network.training
    norm, conv = network.stem[1], network.stem[0]
    seen = [conv(network.normalised(images)) for images, _ in batches]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert norm.momentum == 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 3}, "divide batch_size into parts of at least 2 images, got 3 and 64"),
        ({"distill_weight": 2.0}, r"distill_weight in \[0, 1\] and distill_temperature above 0, got 2.0 and 4.0"),
        ({"mtt_samples": 0}, "mtt_samples ≥ 1 and reestimate ≥ 0, got 0 and 0"),
        ({"mixing": "all"}, "mixing.*got 'all'. Known: mtt, none, random-t"),
    ],
)
def test_bad_settings_are_one_sentence(settings, message):
    with pytest.raises(bb.InputError, match=message):
        TrainingConfig(**settings)
