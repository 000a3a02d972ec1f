"""Training a spiking network through time, resumable after every epoch.

result = train(build("small", …), load_dataset("digits"), TrainingConfig(epochs=40))
result.accuracy               # [T] on the calibration split
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from backbones.datasets import Samples, Splits
from backbones.errors import InputError, unknown_name
from backbones.losses import mean_loss, tet_loss
from backbones.network import SpikingNetwork
from backbones.running import accuracy, make_keys


@dataclass(frozen=True)
class TrainingConfig:
    """How a backbone is trained."""

    epochs: int = 40
    """Passes over the training images."""
    batch_size: int = 64
    """Images a step."""
    loss: Literal["tet", "mean"] = "tet"
    """TET, or cross-entropy of the mean output."""
    tet_lambda: float = 0.05
    """λ: the weight of TET's regulariser."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """How the learning rate moves over the steps; cosine ends at 0."""
    learning_rate: float = 5e-3
    """The peak."""
    weight_decay: float = 1e-2
    """L2 for SGD, decoupled for AdamW."""
    label_smoothing: float = 0.0
    """Of the cross-entropy."""
    seed: int = 0
    """Of the order of the images."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise InputError(f"Expected epochs ≥ 1 and batch_size ≥ 2, got {self.epochs} and {self.batch_size}.")
        for kind, name, known in (
            ("loss", self.loss, ("tet", "mean")),
            ("optimizer", self.optimizer, ("adamw", "sgd")),
            ("schedule", self.schedule, ("onecycle", "cosine")),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)


@dataclass(frozen=True)
class TrainingResult:
    """What training came to."""

    accuracy: np.ndarray
    """`[T]` on the calibration split, after the last epoch."""
    losses: np.ndarray
    """`[epochs]` mean training loss."""


def make_optimizer(
    network: SpikingNetwork, config: TrainingConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimizer and the learning-rate schedule of a configuration."""
    rate, decay = config.learning_rate, config.weight_decay
    optimizer: torch.optim.Optimizer
    if config.optimizer == "adamw":
        optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    else:
        optimizer = torch.optim.SGD(network.parameters(), rate, 0.9, weight_decay=decay, nesterov=True)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if config.schedule == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return optimizer, schedule


def train(
    network: SpikingNetwork,
    splits: Splits,
    config: TrainingConfig | None = None,
    *,
    log_dir: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Train `network` in place on `splits.train`; it comes back in evaluation mode.

    A run that was killed and is called again with the same arguments ends with the same weights, byte for
    byte on the same machine and thread count, as one that was not.

    Args:
        network: the network to train; its device is where training runs.
        splits: `train` is learned from, `calibration` is watched; the others are not touched.
        config: the settings.
        log_dir: folder for TensorBoard: loss, learning rate, accuracy at every timestep.
        resume: file that holds the run's state after each epoch; removed at the end.
        progress: show a progress bar.

    Raises:
        InputError: for a `resume` file of another run.
    """
    config = config or TrainingConfig()
    samples = splits.train
    batches = max(1, len(samples) // config.batch_size)
    optimizer, schedule = make_optimizer(network, config, config.epochs * batches)
    run_name = json.dumps([network.config, asdict(config), network.fingerprint], sort_keys=True)
    losses: list[float] = []
    if resume is not None and Path(resume).exists():
        losses = _restore(Path(resume), run_name, network, optimizer, schedule)
    writer = None if log_dir is None else SummaryWriter(str(log_dir))
    bar = tqdm(total=config.epochs, initial=len(losses), desc="train", unit="epoch", disable=not progress)
    for epoch in range(len(losses), config.epochs):
        losses.append(_epoch(network, samples, config, optimizer, schedule, epoch))
        if resume is not None:
            _keep(Path(resume), run_name, losses, network, optimizer, schedule)
        if writer is not None:
            writer.add_scalar("train/loss", losses[-1], epoch + 1)
            writer.add_scalar("train/learning_rate", schedule.get_last_lr()[0], epoch + 1)
            for t, right in enumerate(calibration_accuracy(network, splits), 1):
                writer.add_scalar(f"calibration/accuracy_t{t}", right, epoch + 1)
        bar.update()
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
    bar.close()
    if writer is not None:
        writer.close()
    if resume is not None:
        Path(resume).unlink(missing_ok=True)
    return TrainingResult(calibration_accuracy(network, splits), np.array(losses))


def calibration_accuracy(network: SpikingNetwork, splits: Splits) -> np.ndarray:
    """`[T]` accuracy on the calibration split; leaves the network in evaluation mode."""
    network.eval()
    samples = splits.calibration
    return accuracy(network, samples.images, samples.labels, make_keys(samples.index))


def _epoch(
    network: SpikingNetwork,
    samples: Samples,
    config: TrainingConfig,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> float:
    network.train()
    order = np.random.default_rng([config.seed, epoch]).permutation(len(samples))
    size = min(config.batch_size, len(samples))
    total = 0.0
    batches = len(samples) // size
    for batch in range(batches):
        rows = order[batch * size : (batch + 1) * size]
        images = torch.from_numpy(samples.images[rows])
        labels = torch.from_numpy(samples.labels[rows]).to(network.device)
        outputs = network(images, torch.from_numpy(make_keys(samples.index[rows], epoch)))
        if config.loss == "tet":
            loss = tet_loss(outputs, labels, lamb=config.tet_lambda, label_smoothing=config.label_smoothing)
        else:
            loss = mean_loss(outputs, labels, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    if not np.isfinite(total):
        raise FloatingPointError(f"The loss is {total} in epoch {epoch + 1}: lower the learning rate.")
    return total / batches


def _keep(
    path: Path,
    run_name: str,
    losses: list[float],
    network: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    state = {"run": run_name, "losses": losses, "network": network.state_dict()}
    torch.save({**state, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, temporary)
    temporary.replace(path)


def _restore(
    path: Path,
    run_name: str,
    network: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> list[float]:
    state = torch.load(path, map_location=network.device, weights_only=True)
    if state["run"] != run_name:
        raise InputError(
            f"Expected {path} to hold this run, but it holds one with other settings: "
            "delete it, or repeat that run's settings."
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    losses: list[float] = state["losses"]
    return losses
