"""Training of a spiking network through time, resumable after every epoch.

result = train(build("small", …), load_dataset("digits"), TrainingConfig(epochs=40))
result.accuracy               # [T] on the calibration split
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from backbones.argument_checks import check_kinds
from backbones.contract.inputs import check_images
from backbones.contract.keys import make_keys
from backbones.contract.protocol import Backbone
from backbones.contract.running import accuracy
from backbones.data.samples import Splits, check_fit
from backbones.errors import InputError
from backbones.hashing import hash_rows, hash_tensors
from backbones.machine.processes import ProcessGroup, process_group
from backbones.networks.kernels.winograd_training import faster_convolutions
from backbones.networks.network import SpikingNetwork
from backbones.networks.stepped_network import plain_network
from backbones.training.config import Stage, TrainingConfig, stages_of
from backbones.training.epoch import run_epoch, statistics_batches, steps_of
from backbones.training.norm_statistics import reestimate_norms
from backbones.training.optimizer import make_optimizer
from backbones.training.run_state import RunState, restore_optimizer
from backbones.training.shared_norms import shared_statistics


@dataclass(frozen=True)
class Epoch:
    """Result of one epoch."""

    number: int
    """From 1."""
    timesteps: int
    """Timesteps of its stage."""
    loss: float
    """Mean training loss."""
    learning_rate: float
    """After its last step."""
    accuracy: np.ndarray | None
    """`[T]` on the calibration split; None where it is neither logged nor reported."""
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
    """Result of training."""

    accuracy: np.ndarray
    """`[T]` on the calibration split, of the weights that were kept."""
    losses: np.ndarray
    """`[epochs]` mean training loss."""


@check_kinds
def train(
    network: Backbone,
    splits: Splits,
    config: TrainingConfig | None = None,
    *,
    teacher: nn.Module | None = None,
    log_dir: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train `network` in place on `splits.train`; afterwards it is in evaluation mode.

    A killed run that is called again with the same arguments ends with the same weights as an uninterrupted one, byte
    for byte on the same machine and thread count. Processes of `torchrun` share every step; the first one writes files.
    The network gets the class names of the samples.

    Args:
        network: the network to train, on its own device.
        splits: `train` is learned, `calibration` is evaluated; the others are not used.
        config: the settings.
        teacher: source of soft targets (`config.distill_weight`): a spiking network, or a module from normalised images
            `[B, C, H, W]` to logits `[B, K]`; in evaluation mode, on the same device.
        log_dir: folder for TensorBoard: loss, learning rate, images per second, accuracy at every timestep.
        resume: file of the run's state after each epoch; delete it once the network is saved.
        progress: show a progress bar.
        on_epoch: called after every epoch.

    Raises:
        InputError: for stages of more timesteps than the network's, a `resume` file of another run, or a
            weight of distillation without a teacher.
    """
    config = config or TrainingConfig()
    stages = check_training(network, splits, config, teacher)
    assert isinstance(network, SpikingNetwork)
    if config.channels_last:
        network.to(memory_format=torch.channels_last)
    network.compiled = config.compile
    start = network.fingerprint + ("" if teacher is None else hash_tensors(teacher.state_dict()))
    used = [array for part in (splits.train, splits.calibration) for array in (part.images, part.labels, part.index)]
    run = RunState(network, config, start, "" if resume is None else hash_rows(*used))
    with ExitStack() as stack:
        group = stack.enter_context(process_group(network.device))
        if not config.own_statistics:
            stack.enter_context(shared_statistics(network, group))
        stack.enter_context(faster_convolutions(network))
        resume = None if resume is None else Path(resume)
        saved = run.restore(resume) if resume is not None and resume.exists() else None
        group.wait()  # all processes have read the file
        if len(run.losses) <= stages[-1].first:
            run.best, run.best_accuracy = None, -1.0  # of a stage that was the last before stages were added
        writer = _event_log(log_dir, len(run.losses) + 1) if group.is_first else None
        evaluated = log_dir is not None or on_epoch is not None  # equal in every process: statistics are shared
        hidden = not (progress and group.is_first)
        bar = tqdm(total=stages[-1].end, initial=len(run.losses), desc="train", unit="epoch", disable=hidden)
        steps = steps_of(splits.train, config, group)
        for stage in stages:
            optimizer, schedule = make_optimizer(network, config, stage.learning_rate, stage.epochs * steps)
            if saved is not None and resume is not None and stage.first < len(run.losses) < stage.end:
                restore_optimizer(saved, resume, optimizer, schedule)
            for epoch in range(max(stage.first, len(run.losses)), stage.end):
                began = time.perf_counter()
                run.losses.append(
                    run_epoch(
                        run, splits.train, stage.timesteps, optimizer, schedule, epoch, group=group, teacher=teacher
                    )
                )
                images = steps * min(config.batch_size * group.size, len(splits.train))
                speed = images / (time.perf_counter() - began)
                right = None
                chosen = config.keep == "best" and stage is stages[-1]
                if chosen or evaluated:
                    with _kept_weights(run, splits, stage, epoch):
                        right = calibration_accuracy(network, splits, stage.timesteps, group=group)
                        if chosen:
                            run.offer(float(right[-1]))
                if group.is_first:
                    rate = float(schedule.get_last_lr()[0])
                    done = Epoch(epoch + 1, stage.timesteps, run.losses[-1], rate, right, speed)
                    _log(done, writer)  # before the state: an epoch that is resumed from is in the log
                    if resume is not None:
                        run.save(resume, optimizer=optimizer, schedule=schedule)
                    if on_epoch is not None:
                        on_epoch(done)
                bar.update()
                bar.set_postfix(loss=f"{run.losses[-1]:.3f}")
        bar.close()
        if writer is not None:
            writer.close()
        return _finish(run, splits, stages[-1], group)


def check_training(
    network: Backbone, splits: Splits, config: TrainingConfig, teacher: nn.Module | None = None
) -> tuple[Stage, ...]:
    """The stages of a run, after checking its arguments as `train` does."""
    network = plain_network(network, "train")
    check_fit(splits.train, network.num_classes, network.timesteps, network.sample_shape)
    for samples in (splits.train, splits.calibration):
        check_images(samples.images, network.encoding, what=f"images of {samples.split}")
    stages = stages_of(config, network.timesteps)
    if (teacher is None) == (config.distill_weight > 0):
        raise InputError(
            f"Expected a teacher exactly where distill_weight is above 0, got distill_weight={config.distill_weight} "
            f"and {'no teacher' if teacher is None else 'a teacher'}."
        )
    return stages


def _finish(run: RunState, splits: Splits, stage: Stage, group: ProcessGroup) -> TrainingResult:
    network = run.network
    if run.best is not None:
        network.load_state_dict(run.best)
    else:
        with _kept_weights(run, splits, stage, stage.end - 1):
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(kept)
    network.to(memory_format=torch.contiguous_format)
    network.compiled = False
    network.class_names = tuple(splits.train.class_names) or network.class_names
    result = TrainingResult(calibration_accuracy(network, splits, group=group), np.array(run.losses))
    group.wait()
    return result


@contextmanager
def _kept_weights(run: RunState, splits: Splits, stage: Stage, epoch: int) -> Iterator[None]:
    """The network has the weights to keep inside the block: averaged, with norm statistics estimated anew."""
    with run.averaged():
        if run.config.reestimate:
            batches = statistics_batches(run.network, run.config, splits.train, epoch)
            reestimate_norms(run.network, batches, stage.timesteps)
        yield


def calibration_accuracy(
    network: SpikingNetwork, splits: Splits, timesteps: int | None = None, *, group: ProcessGroup | None = None
) -> np.ndarray:
    """`[T]` accuracy on the calibration split, which the group shares; puts the network into evaluation mode."""
    network.eval()
    group = group or ProcessGroup()
    samples = splits.calibration.select(slice(group.rank, None, group.size))
    keys = make_keys(samples.index)
    part = accuracy(network, samples.images, samples.labels, keys, timesteps=timesteps) * len(samples)
    totals = torch.tensor([*part, len(samples)], dtype=torch.float64, device=network.device)
    group.average([totals])
    return (totals[:-1] / totals[-1]).cpu().numpy()


def _event_log(log_dir: str | Path | None, first_epoch: int) -> Any:
    """The log from an epoch on; None without a folder, or, with a message, where TensorBoard is not installed."""
    if log_dir is None:
        return None
    try:
        from backbones.event_log import EventLog
    except ImportError:
        print(f"TensorBoard is not installed: nothing is logged to {log_dir}.", file=sys.stderr)
        return None
    return EventLog(log_dir, grows=True, first_step=first_epoch)


def _log(epoch: Epoch, writer: Any) -> None:
    if writer is not None:
        writer.add_scalar("train/loss", epoch.loss, epoch.number)
        writer.add_scalar("train/learning_rate", epoch.learning_rate, epoch.number)
        writer.add_scalar("train/images_per_second", epoch.images_per_second, epoch.number)
        for t, right in enumerate(epoch.accuracy if epoch.accuracy is not None else (), 1):
            writer.add_scalar(f"calibration/accuracy_t{t}", right, epoch.number)
        writer.sync()
