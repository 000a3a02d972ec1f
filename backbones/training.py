"""Training a spiking network through time, resumable after every epoch.

result = train(build("small", …), load_dataset("digits"), TrainingConfig(epochs=40))
result.accuracy               # [T] on the calibration split
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from backbones.augmentation import augment
from backbones.losses import mean_loss, tet_loss
from backbones.network import SpikingNetwork
from backbones.run_state import RunState
from backbones.running import accuracy, make_keys
from backbones.schedules import TrainingConfig, make_optimizer, stages_of
from backbones.splits import Samples, Splits, check_fit

__all__ = ["Epoch", "TrainingConfig", "TrainingResult", "calibration_accuracy", "train"]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    number: int
    """From 1."""
    timesteps: int
    """T of its stage."""
    loss: float
    """Mean training loss."""
    learning_rate: float
    """After its last step."""
    accuracy: np.ndarray | None
    """`[T]` on the calibration split, where somebody watches."""
    images_per_second: float
    """Of training, without the evaluation."""

    def __str__(self) -> str:
        """One line."""
        line = f"epoch {self.number}  T={self.timesteps}  loss {self.loss:.4f}  {self.images_per_second:.0f} images/s"
        if self.accuracy is None:
            return line
        return line + "  calibration % " + " ".join(f"{100 * right:.2f}" for right in self.accuracy)


@dataclass(frozen=True)
class TrainingResult:
    """What training came to."""

    accuracy: np.ndarray
    """`[T]` on the calibration split, of the weights that were kept."""
    losses: np.ndarray
    """`[epochs]` mean training loss."""


def train(
    network: SpikingNetwork,
    splits: Splits,
    config: TrainingConfig | None = None,
    *,
    log_dir: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train `network` in place on `splits.train`; it comes back in evaluation mode.

    A run that was killed and is called again with the same arguments ends with the same weights, byte for
    byte on the same machine and thread count, as one that was not.

    Args:
        network: the network to train; its device is where training runs.
        splits: `train` is learned from, `calibration` is watched; the others are not touched.
        config: the settings.
        log_dir: folder for TensorBoard: loss, learning rate, images per second, accuracy at every timestep.
        resume: file that holds the run's state after each epoch; removed at the end.
        progress: show a progress bar.
        on_epoch: called after every epoch.

    Raises:
        InputError: for stages of more timesteps than the network's, or a `resume` file of another run.
    """
    config = config or TrainingConfig()
    check_fit(splits.train, network.num_classes, network.timesteps)
    stages = stages_of(config, network.timesteps)
    if config.channels_last:
        network.to(memory_format=torch.channels_last)
    run = RunState(network, config, network.fingerprint)
    saved = run.restore(Path(resume)) if resume is not None and Path(resume).exists() else None
    if len(run.losses) <= stages[-1].first:
        run.best, run.best_accuracy = None, -1.0  # of a stage that was the last before stages were added
    writer = None if log_dir is None else SummaryWriter(str(log_dir))
    bar = tqdm(total=stages[-1].end, initial=len(run.losses), desc="train", unit="epoch", disable=not progress)
    steps = max(1, len(splits.train) // config.batch_size)
    for stage in stages:
        optimizer, schedule = make_optimizer(network, config, stage.learning_rate, stage.epochs * steps)
        if saved is not None and stage.first < len(run.losses) < stage.end:
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
        for epoch in range(max(stage.first, len(run.losses)), stage.end):
            began = time.perf_counter()
            run.losses.append(_epoch(run, splits.train, stage.timesteps, optimizer, schedule, epoch))
            speed = steps * min(config.batch_size, len(splits.train)) / (time.perf_counter() - began)
            right = None
            chosen = config.keep == "best" and stage is stages[-1]
            if chosen or writer is not None or on_epoch is not None:
                with run.averaged():
                    right = calibration_accuracy(network, splits, stage.timesteps)
                    if chosen:
                        run.offer(float(right[-1]))
            if resume is not None:
                run.save(Path(resume), optimizer=optimizer, schedule=schedule)
            rate = float(schedule.get_last_lr()[0])
            _report(Epoch(epoch + 1, stage.timesteps, run.losses[-1], rate, right, speed), writer, on_epoch)
            bar.update()
            bar.set_postfix(loss=f"{run.losses[-1]:.3f}")
    bar.close()
    if writer is not None:
        writer.close()
    final = run.best or run.average
    if final is not None:
        network.load_state_dict(final)
    network.to(memory_format=torch.contiguous_format)
    result = TrainingResult(calibration_accuracy(network, splits), np.array(run.losses))
    if resume is not None:
        Path(resume).unlink(missing_ok=True)
    return result


def calibration_accuracy(network: SpikingNetwork, splits: Splits, timesteps: int | None = None) -> np.ndarray:
    """`[T]` accuracy on the calibration split; leaves the network in evaluation mode."""
    network.eval()
    samples = splits.calibration
    return accuracy(network, samples.images, samples.labels, make_keys(samples.index), timesteps=timesteps)


def _epoch(
    run: RunState,
    samples: Samples,
    timesteps: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> float:
    network, config = run.network, run.config
    network.train()
    order = np.random.default_rng([config.seed, epoch]).permutation(len(samples))
    size = min(config.batch_size, len(samples))
    total = 0.0
    batches = len(samples) // size
    half = torch.autocast(network.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    for batch in range(batches):
        rows = order[batch * size : (batch + 1) * size]
        images = _augmented(network, config, samples, rows, epoch)
        labels = torch.from_numpy(samples.labels[rows]).to(network.device)
        with half:
            outputs = network(images, torch.from_numpy(make_keys(samples.index[rows], epoch)), timesteps)
        loss = _loss(outputs.float(), labels, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        run.after_step()
        total += loss.item()
    if not np.isfinite(total):
        raise FloatingPointError(f"The loss is {total} in epoch {epoch + 1}: lower the learning rate.")
    return total / batches


def _augmented(
    network: SpikingNetwork, config: TrainingConfig, samples: Samples, rows: np.ndarray, epoch: int
) -> Tensor:
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


def _loss(outputs: Tensor, labels: Tensor, config: TrainingConfig) -> Tensor:
    if config.loss == "tet":
        return tet_loss(outputs, labels, lamb=config.tet_lambda, label_smoothing=config.label_smoothing)
    return mean_loss(outputs, labels, label_smoothing=config.label_smoothing)


def _report(epoch: Epoch, writer: SummaryWriter | None, on_epoch: Callable[[Epoch], None] | None) -> None:
    if writer is not None:
        writer.add_scalar("train/loss", epoch.loss, epoch.number)
        writer.add_scalar("train/learning_rate", epoch.learning_rate, epoch.number)
        writer.add_scalar("train/images_per_second", epoch.images_per_second, epoch.number)
        for t, right in enumerate(epoch.accuracy if epoch.accuracy is not None else (), 1):
            writer.add_scalar(f"calibration/accuracy_t{t}", right, epoch.number)
    if on_epoch is not None:
        on_epoch(epoch)
