"""`seenn train-backbone`: a spiking network on a dataset."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

import backbones as bb
from agents.commands.data import DataOptions
from agents.commands.output import EVENTS, on_terminal, open_folder
from agents.commands.unused_options import refuse_unused
from backbones import train
from backbones.atomic import remove_with_leftovers
from backbones.data import check_division, check_fit
from backbones.machine import own_device, process_group, torch_threads
from backbones.networks import PER_TIMESTEP, SpikingNetwork
from backbones.training import TrainingConfig, check_training

MAKES = rf"backbone\.safetensors|\.?training\.pt(\.\w+\.tmp)?|tensorboard/{EVENTS}"
"""The files that are made."""


@dataclass(frozen=True)
class TrainBackbone:
    """Train a spiking network and freeze it; killed at any moment, the same command continues."""

    output: Path
    """Folder for backbone.safetensors and TensorBoard."""
    dataset: str = "digits"
    """Name of the dataset."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Where the dataset is, and how it is divided."""
    network: str = "small"
    """Name of the architecture."""
    width: int | None = None
    """Channels of its first layer (default: the architecture's own)."""
    stem: str | None = None
    """Kind of its first layer where it has several: small, or large, which quarters the image (default: small)."""
    norm: str | None = None
    """tdbn, bn or tdbn-per-timestep (statistics of each timestep's own; default: the architecture's own)."""
    timesteps: int = 8
    """T."""
    encoding: str = "poisson"
    """direct, poisson or latency; of frames over time, event."""
    neuron: str = "lif"
    """lif, if or plif; or qcfs or relu for a network without time (T = 1) that `seenn convert` takes."""
    levels: int | None = None
    """Levels L of the activation qcfs (default: its own, 4)."""
    initial: Path | None = None
    """Backbone whose weights to start from, of the same architecture (default: fresh weights)."""
    threads: int | None = None
    """Threads of the CPU (default: torch's own choice); the same weights come out of the same number only."""
    training: tyro.conf.OmitArgPrefixes[TrainingConfig] = field(default_factory=TrainingConfig)
    """How to train; its seed is that of the initial weights too."""
    teacher: Path | None = None
    """A saved network whose soft answers are learned too (with --distill-weight)."""
    device: str = "cpu"
    """Where the network runs."""
    overwrite: bool = False
    """Replace a result that is there."""

    def run(self) -> None:
        """Train, print the accuracy at every timestep, save."""
        threads = torch.get_num_threads() if self.threads is None else self.threads
        if threads < 1:
            raise bb.InputError(f"Expected at least 1 thread, got {threads}.")
        with torch_threads(threads):
            self._run()

    def _run(self) -> None:
        training = self.training
        for unread, names, where in (
            (training.stages, ["epochs", "learning_rate"], "with --stages"),
            (not training.distill_weight, ["distill_temperature"], "without a --distill-weight"),
            (training.mixing != "mtt", ["mtt_samples"], "without --mixing mtt"),
            (training.loss != "tet", ["tet_lambda"], "without --loss tet"),
            (training.schedule != "onecycle", ["warmup"], "without --schedule onecycle"),
        ):
            if unread:
                refuse_unused(training, names, where)
        splits = self.data.load(self.dataset, self.timesteps)
        mean, std = intensity(splits.train.images) if self.encoding == "direct" else (0.0, 1.0)
        network = bb.build(
            self.network,
            num_classes=len(splits.train.class_names),
            timesteps=self.timesteps,
            input_shape=splits.train.images.shape[-3:],
            encoding=self.encoding,
            neuron=self.neuron if self.levels is None else {"type": self.neuron, "levels": self.levels},
            mean=mean,
            std=std,
            seed=self.training.seed,
            **{name: value for name in ("width", "stem", "norm") if (value := getattr(self, name)) is not None},
        ).to(own_device(self.device))
        if self.initial is not None:
            initial = bb.load(self.initial)
            check_division(splits.division, initial.division)
            copy_weights(initial, network, self.initial)
        teacher = None
        if self.teacher is not None:
            teacher = bb.load(self.teacher, device=str(network.device))
            check_division(splits.division, teacher.division, "the teacher")
            check_fit(splits.train, teacher.num_classes, teacher.timesteps, teacher.sample_shape, "the teacher")
        check_training(network, splits, self.training, teacher)
        with process_group(network.device) as group:
            output = open_folder(self.output, self, self.overwrite, makes=MAKES, leads=group.is_first)
            group.wait()
            try:
                result = train(
                    network,
                    splits,
                    self.training,
                    teacher=teacher,
                    log_dir=output.work / "tensorboard",
                    resume=output.work / "training.pt",
                    progress=on_terminal(),
                    on_epoch=None if on_terminal() else lambda epoch: print(epoch, flush=True),
                )
            except Exception:  # refused, or diverged at once
                if group.is_first:
                    output.give_up("training.pt")
                raise
            if not group.is_first:
                return
        bb.save(network, output.work / "backbone.safetensors", division=splits.division)
        remove_with_leftovers(output.work / "training.pt")
        output.close()
        print("accuracy % on calibration:", accuracy_line(result.accuracy))
        print("backbone:", output.final / "backbone.safetensors")


def copy_weights(source: SpikingNetwork, network: SpikingNetwork, name: Path) -> None:
    """Start `network` from the weights of `source`; its T and its mean and deviation of the images stay its own.

    Norms of statistics per timestep may start from norms of common ones, each timestep from those, or from fewer
    timesteps, the further ones from the last.

    Raises:
        InputError: for a source of another architecture.
    """
    own = {"timesteps", "mean", "std", "encoding_seed"}
    theirs, ours = (_without_common_norm(net.config, network.config) for net in (source, network))
    for key in theirs:
        if key not in own and theirs[key] != ours[key]:
            raise bb.InputError(f"Expected {name} to hold a network with {key} = {ours[key]!r}, got {theirs[key]!r}.")
    weights = network.state_dict()
    for key, value in source.state_dict().items():
        if key in weights and key not in own:
            weights[key] = _for_each_timestep(value, weights[key])
    network.load_state_dict(weights)


def _for_each_timestep(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Norm statistics of all timesteps, `[C]`, or of others, `[T', C]`, as `[T, C]`; other values as they are."""
    if value.shape == like.shape:
        return value
    of_each = value.view(-1, value.shape[-1])
    return of_each[torch.arange(len(like)).clamp(max=len(of_each) - 1)]


def _without_common_norm(config: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """`config`, whose norm does not count where it is tdBN's and the target's are tdBN's per timestep."""
    options = config["options"]
    if target["options"].get("norm") == PER_TIMESTEP and options.get("norm", "tdbn") in ("tdbn", PER_TIMESTEP):
        options = {name: value for name, value in options.items() if name != "norm"}
    return {**config, "options": options}


def intensity(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `[N, C, H, W]` uint8 images, in [0, 1]."""
    some = images[:: max(1, len(images) // 5000)] / 255
    mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3))
    return mean.round(4).tolist(), np.maximum(std, 0.01).round(4).tolist()


def accuracy_line(accuracy: np.ndarray) -> str:
    """Accuracy at every timestep, in words."""
    return "  ".join(f"t={t} {100 * right:.1f}" for t, right in enumerate(accuracy, 1))
