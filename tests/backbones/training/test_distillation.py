"""Distillation: the loss is its formula, and a student follows its teacher."""

import math
from dataclasses import replace

import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.training.loop import TrainingConfig, train
from backbones.training.losses import distillation_loss, teacher_logits

KEYS = torch.zeros(4, dtype=torch.int64)


def make(seed: int = 0, timesteps: int = 3) -> SpikingNetwork:
    return bb.build("small", num_classes=10, timesteps=timesteps, input_shape=(1, 8, 8), width=4, seed=seed)


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
