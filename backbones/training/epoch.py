"""One epoch of training: batches, losses, optimizer steps."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from backbones.contract.keys import make_keys
from backbones.data.samples import Samples
from backbones.data.transforms.augmentation import augment
from backbones.machine.processes import ProcessGroup
from backbones.networks.network import SpikingNetwork
from backbones.training.config import TrainingConfig
from backbones.training.losses import distillation_loss, mean_loss, teacher_logits, tet_loss
from backbones.training.mixed_time import draw_times, draw_timesteps, forward_mixed, stage_heads
from backbones.training.run_state import RunState


def steps_of(samples: Samples, config: TrainingConfig, group: ProcessGroup) -> int:
    """Optimizer steps of an epoch."""
    return max(1, len(samples) // (config.batch_size * group.size))


def run_epoch(
    run: RunState,
    samples: Samples,
    timesteps: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
    *,
    group: ProcessGroup,
    teacher: nn.Module | None = None,
) -> float:
    """One pass over the samples; returns its mean loss, or raises `FloatingPointError` where that is not finite."""
    network, config = run.network, run.config
    network.train()
    order = np.random.default_rng([config.seed, epoch]).permutation(len(samples))
    size = min(config.batch_size, len(samples) // group.size)
    losses: list[tuple[Tensor, float]] = []  # read at the end: reading a value waits for the GPU
    steps = steps_of(samples, config, group)
    for step in range(steps):
        begin = (step * group.size + group.rank) * size
        rows = order[begin : begin + size]
        optimizer.zero_grad()
        for part in np.array_split(rows, config.accumulate):
            images = augmented(network, config, samples, part, epoch)
            keys = torch.from_numpy(make_keys(samples.index[part], epoch))
            labels = torch.from_numpy(samples.labels[part]).to(network.device)
            for loss in _losses(run, images, keys, labels, timesteps, epoch * steps + step, teacher):
                (loss * (len(part) / len(rows))).backward()
                losses.append((loss.detach(), len(part) / len(rows)))
        group.average(weight.grad for weight in network.parameters() if weight.grad is not None)
        optimizer.step()
        schedule.step()
        run.after_step()
    if config.own_statistics:
        run.average_statistics(group)
    total = group.mean(sum(float(loss) * share for loss, share in losses), network.device)
    if not np.isfinite(total):
        raise FloatingPointError(f"The loss is {total} in epoch {epoch + 1}: lower the learning rate.")
    return total / steps


def statistics_batches(
    network: SpikingNetwork, config: TrainingConfig, samples: Samples, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """`config.reestimate` augmented training batches, the same in every process."""
    order = np.random.default_rng([config.seed, epoch, 1]).permutation(len(samples))
    for batch in range(config.reestimate):
        rows = np.take(order, range(batch * config.batch_size, (batch + 1) * config.batch_size), mode="wrap")
        keys = torch.from_numpy(make_keys(samples.index[rows], epoch))
        yield augmented(network, config, samples, rows, epoch), keys


def augmented(
    network: SpikingNetwork, config: TrainingConfig, samples: Samples, rows: np.ndarray, epoch: int
) -> Tensor:
    """`[B, C, H, W]` uint8 images (or `[B, T, C, H, W]` frames) of those rows, augmented for this epoch."""
    images = torch.from_numpy(samples.images[rows]).to(network.device)
    if config.crop or config.flip or config.cutout or config.auto_augment or config.roll:
        images = augment(
            images,
            torch.from_numpy(samples.index[rows]).to(network.device),
            seed=config.seed,
            epoch=epoch,
            crop=config.crop,
            flip=config.flip,
            cutout=config.cutout,
            roll=config.roll,
            auto=config.auto_augment,
            fill=(255 * network.mean).round().flatten().int().tolist(),
        )
    still = images.dim() == 4
    return images.contiguous(memory_format=torch.channels_last) if config.channels_last and still else images


def _losses(
    run: RunState,
    images: Tensor,
    keys: Tensor,
    labels: Tensor,
    timesteps: int,
    step: int,
    teacher: nn.Module | None,
) -> Iterator[Tensor]:
    """The losses of a step in turn, so that only one graph exists at a time."""
    network, config = run.network, run.config
    half = torch.autocast(network.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    targets = None
    if teacher is not None and config.distill_weight:
        with half:
            targets = teacher_logits(teacher, network, images, keys)
    for sample in range(config.mtt_samples if config.mixing == "mtt" else 1):
        with half:
            if config.mixing == "mtt":
                times = draw_times(len(stage_heads(network)) + 1, timesteps, seed=config.seed, step=step, sample=sample)
                outputs = forward_mixed(network, images, keys, times)
            elif config.mixing == "random-t":
                outputs = network(images, keys, draw_timesteps(timesteps, seed=config.seed, step=step))
            else:
                outputs = network(images, keys, timesteps)
        yield _loss(outputs.to(network.mean.dtype), labels, targets, config)


def _loss(outputs: Tensor, labels: Tensor, targets: Tensor | None, config: TrainingConfig) -> Tensor:
    if config.loss == "tet":
        loss = tet_loss(outputs, labels, lamb=config.tet_lambda, label_smoothing=config.label_smoothing)
    else:
        loss = mean_loss(outputs, labels, label_smoothing=config.label_smoothing)
    if targets is None:
        return loss
    student = outputs if config.loss == "tet" else outputs.mean(0)
    soft = distillation_loss(student, targets, temperature=config.distill_temperature)
    return (1 - config.distill_weight) * loss + config.distill_weight * soft
