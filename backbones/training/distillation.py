"""Knowledge distillation: a network learns from a teacher's soft answers too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.networks.network import SpikingNetwork
from backbones.networks.stepped import SteppedNetwork


def distillation_loss(outputs: Tensor, targets: Tensor, *, temperature: float = 4.0) -> Tensor:
    """τ² · KL(softmax(teacher/τ) ‖ softmax(student/τ)), the mean over rows (Hinton et al., 2015, section 2).

    Args:
        outputs: `[…, B, K]` the student's logits; a leading dimension of time is averaged over.
        targets: `[B, K]` the teacher's logits.
        temperature: τ, above 0; τ² keeps the gradient's scale.
    """
    soft = (targets / temperature).log_softmax(-1)
    student = (outputs / temperature).log_softmax(-1)
    divergence = F.kl_div(student, soft.expand_as(student), reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.mean()


@torch.no_grad()
def teach(teacher: nn.Module, network: SpikingNetwork, images: Tensor, keys: Tensor) -> Tensor:
    """`[B, K]` the teacher's logits.

    Args:
        teacher: a spiking network, whose mean output is taken; or any module from images, normalised as
            the student's own mean and standard deviation say, to logits.
        network: the student.
        images: `[B, C, H, W]` uint8 or in [0, 1].
        keys: `[B]` int64.

    Raises:
        InputError: for a teacher of another number of classes.
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
