"""Losses over the outputs of all timesteps, and soft targets of a teacher (knowledge distillation)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.networks.network import SpikingNetwork
from backbones.networks.stepped_network import SteppedNetwork


def tet_loss(
    outputs: Tensor, labels: Tensor, *, lamb: float = 0.05, target: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Temporal efficient training (Deng et al., TET, ICLR 2022, equations 9 to 11).

        1/T Σ_t [(1 - λ)·CE(O_t, y) + λ·MSE(O_t, φ)]

    Args:
        outputs: `[T, B, K]` each timestep's own output, not the mean so far.
        labels: `[B]` int64.
        lamb: λ in [0, 1], the weight of the regulariser, which keeps outputs near φ.
        target: φ, the neurons' threshold in the paper.
        label_smoothing: of the cross-entropy.
    """
    T = len(outputs)
    ce = F.cross_entropy(outputs.flatten(0, 1), labels.repeat(T), label_smoothing=label_smoothing)
    if lamb == 0:
        return ce
    return (1 - lamb) * ce + lamb * torch.mean((outputs - target) ** 2)


def mean_loss(outputs: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the mean output over time (`[T, B, K]` outputs, `[B]` labels)."""
    return F.cross_entropy(outputs.mean(0), labels, label_smoothing=label_smoothing)


def distillation_loss(outputs: Tensor, targets: Tensor, *, temperature: float = 4.0) -> Tensor:
    """τ² · KL(softmax(teacher/τ) ‖ softmax(student/τ)), the mean over rows (Hinton et al., 2015, section 2).

    Args:
        outputs: `[…, B, K]` the student's logits; the mean over a leading dimension of time.
        targets: `[B, K]` the teacher's logits.
        temperature: τ, above 0; τ² keeps the gradient's scale.
    """
    soft = (targets / temperature).log_softmax(-1)
    student = (outputs / temperature).log_softmax(-1)
    divergence = F.kl_div(student, soft.expand_as(student), reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.mean()


@torch.no_grad()
def teacher_logits(teacher: nn.Module, network: SpikingNetwork, images: Tensor, keys: Tensor) -> Tensor:
    """`[B, K]` the teacher's logits of images `[B, C, H, W]`.

    A spiking teacher gives its mean output; any other module gets images normalised by the student's mean and standard
    deviation. An `InputError` for another number of classes than the student's, `network`.
    """
    if isinstance(teacher, SpikingNetwork):
        logits = teacher(images, keys).mean(0)
    elif isinstance(teacher, SteppedNetwork):
        state = teacher.start(images, keys)
        for _ in range(teacher.timesteps):
            logits, state = teacher.step(state)
    else:
        logits = teacher(network.normalised(images))
    if logits.shape != (len(images), network.num_classes):
        raise InputError(
            f"Expected a teacher that gives [{len(images)}, {network.num_classes}] logits, got {list(logits.shape)}."
        )
    return logits.to(network.mean.dtype)
