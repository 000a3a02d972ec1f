"""`seenn train-backbone`: a spiking network on a dataset."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tyro

import backbones as bb
from agents.commands.data import DataOptions
from agents.commands.output import EVENTS, STATE, on_terminal, open_folder
from agents.commands.stated_default import Stated
from agents.commands.unused_options import refuse_unused
from backbones import machine, networks, training
from backbones.argument_checks import Positive
from backbones.data import check_division, check_fit

if TYPE_CHECKING:
    from torch import Tensor

MAKES = rf"backbone\.safetensors|{re.escape(STATE)}|tensorboard/{EVENTS}"
"""Files of the result."""


@dataclass(frozen=True)
class TrainBackbone:
    """Train a spiking network and freeze it; killed at any moment, the same command continues.

    For example:

        seenn train-backbone --dataset digits --epochs 30 --output runs/digits
    """

    output: Path
    """Folder for backbone.safetensors and TensorBoard."""
    dataset: str = "digits"
    """Name of the dataset."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Place and division of the dataset."""
    network: str = "small"
    """Name of the architecture."""
    width: Stated[Positive | None] = None
    """Channels of its first layer (default: the architecture's own)."""
    stem: Stated[str | None] = None
    """First layer where the architecture has several: small, or large, which quarters the image (default: small)."""
    norm: Stated[str | None] = None
    """tdbn, bn or tdbn-per-timestep, with statistics for each timestep (default: the architecture's)."""
    timesteps: Positive = 8
    """T."""
    encoding: str = "poisson"
    """direct, poisson or latency; of frames over time, event."""
    neuron: str = "lif"
    """lif, if or plif; or qcfs or relu for a network without time (T = 1) that `seenn convert` takes."""
    levels: Stated[Positive | None] = None
    """Levels L of the activation qcfs (default: its own, 4)."""
    initial: Stated[Path | None] = None
    """Backbone of the same architecture whose weights training starts from (default: random weights)."""
    threads: Stated[Positive | None] = None
    """CPU threads (default: torch's choice); equal weights need an equal number."""
    training: tyro.conf.OmitArgPrefixes[bb.TrainingConfig] = field(default_factory=bb.TrainingConfig)
    """Settings of the training; its seed is that of the initial weights too."""
    teacher: Path | None = None
    """Saved network whose soft targets are learned too (with --distill-weight)."""
    device: str = "cpu"
    """Device that the network runs on."""
    overwrite: bool = False
    """Replace an earlier result."""
    resumes: ClassVar[bool] = True

    def run(self) -> None:
        """Train, print the accuracy at every timestep, save."""
        with nullcontext() if self.threads is None else machine.torch_threads(self.threads):
            self._run()

    def _run(self) -> None:
        config = self.training
        for unread, names, where in (
            (config.stages, ["epochs", "learning_rate"], "with --stages"),
            (not config.distill_weight, ["distill_temperature"], "without a --distill-weight"),
            (config.mixing != "mtt", ["mtt_samples"], "without --mixing mtt"),
            (config.loss != "tet", ["tet_lambda"], "without --loss tet"),
            (config.schedule != "onecycle", ["warmup"], "without --schedule onecycle"),
        ):
            if unread:
                refuse_unused(config, names, where)
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
            seed=config.seed,
            **{name: value for name in ("width", "stem", "norm") if (value := getattr(self, name)) is not None},
        ).to(machine.own_device(self.device))
        if self.initial is not None:
            initial = bb.load(self.initial)
            check_division(splits.division, initial.division)
            copy_weights(initial, network, self.initial)
        teacher = None
        if self.teacher is not None:
            teacher = bb.load(self.teacher, device=str(network.device))
            check_division(splits.division, teacher.division, "the teacher")
            check_fit(splits.train, teacher.num_classes, teacher.timesteps, teacher.sample_shape, "the teacher")
        training.check_training(network, splits, config, teacher)
        with machine.process_group(network.device) as group:
            output = open_folder(self.output, self, self.overwrite, makes=MAKES, is_first=group.is_first)
            group.wait()
            try:
                result = bb.train(
                    network,
                    splits,
                    config,
                    teacher=teacher,
                    log_dir=output.work / "tensorboard",
                    resume=output.work / STATE,
                    progress=on_terminal(),
                    on_epoch=None if on_terminal() else lambda epoch: print(epoch, flush=True),
                )
            except Exception:  # refused settings, or divergence at once
                if group.is_first:
                    output.discard_without(STATE)
                raise
            if not group.is_first:
                return
        bb.save(network, output.work / "backbone.safetensors", division=splits.division)
        output.close()
        print("accuracy % on calibration:", accuracy_line(result.accuracy))
        print("backbone:", output.final / "backbone.safetensors")


def copy_weights(source: networks.SpikingNetwork, network: networks.SpikingNetwork, name: Path) -> None:
    """Copy the weights of `source` into `network`, which keeps its T and its mean and deviation of the images.

    Norms with statistics per timestep may start from norms with common statistics, or from those of fewer timesteps;
    further timesteps then start from the last. An `InputError` for a source of another architecture.
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


def _for_each_timestep(value: Tensor, like: Tensor) -> Tensor:
    """Norm statistics of all timesteps, `[C]`, or of T' timesteps, `[T', C]`, as `[T, C]`; other values unchanged."""
    if value.shape == like.shape:
        return value
    of_each = value.view(-1, value.shape[-1])
    return of_each[[min(t, len(of_each) - 1) for t in range(len(like))]]


def _without_common_norm(config: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """`config` without its norm where that is tdBN and the target's is tdBN per timestep."""
    options = config["options"]
    if target["options"].get("norm") == networks.PER_TIMESTEP and options.get("norm", "tdbn") in (
        "tdbn",
        networks.PER_TIMESTEP,
    ):
        options = {name: value for name, value in options.items() if name != "norm"}
    return {**config, "options": options}


def intensity(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `[N, C, H, W]` uint8 images, in [0, 1]."""
    some = images[:: max(1, len(images) // 5000)] / 255
    mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3))
    return mean.round(4).tolist(), np.maximum(std, 0.01).round(4).tolist()


def accuracy_line(accuracy: np.ndarray) -> str:
    """Accuracy at every timestep, as text."""
    return "  ".join(f"t={t} {100 * right:.1f}" for t, right in enumerate(accuracy, 1))
