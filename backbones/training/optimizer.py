"""The optimizer and the learning-rate schedule of training, by name."""

import torch
from torch import nn

from backbones.training.config import TrainingConfig


def make_optimizer(
    network: nn.Module, config: TrainingConfig, rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimizer and the learning-rate schedule of a stage of so many steps, with its peak rate."""
    decay = config.weight_decay
    optimizer: torch.optim.Optimizer
    if config.optimizer == "adamw":
        optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    else:
        optimizer = torch.optim.SGD(network.parameters(), rate, 0.9, weight_decay=decay, nesterov=True)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if config.schedule == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=config.warmup)
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return optimizer, schedule
