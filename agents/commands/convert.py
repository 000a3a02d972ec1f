"""`seenn convert`: a spiking network from a trained network without time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

import backbones as bb
from agents.commands.data import DataOptions
from agents.commands.output import check_file
from agents.commands.stated_default import Stated
from agents.commands.train_backbone import accuracy_line
from agents.commands.unused_options import refuse_unused
from backbones import contract, conversion, networks
from backbones.argument_checks import Natural, Positive


@dataclass(frozen=True)
class Convert:
    """Convert a network that `seenn train-backbone --neuron qcfs` (or relu) trained, and compare accuracies.

    For example:

        seenn convert --backbone runs/qcfs/backbone.safetensors --timesteps 32 --output runs/converted.safetensors
    """

    backbone: Path
    """File of the network without time."""
    output: Path
    """File of the spiking network."""
    timesteps: Positive = 32
    """T."""
    method: Stated[Literal["max", "percentile"] | None] = None
    """How thresholds of ReLUs are set (default: percentile); QCFS networks have learned theirs."""
    percentile: float = 99.9
    """Percentile of a layer's activations."""
    images: Positive = 1000
    """Number of training images that thresholds of ReLUs are set on."""
    dataset: str | None = "digits"
    """Name of the dataset that thresholds of ReLUs are set and accuracies compared on; None does neither."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Place and division of the dataset."""
    split: Literal["policy", "calibration", "test"] = "calibration"
    """Split that accuracies are compared on."""
    seed: Natural = 0
    """Seed of the dataset's division (the one that the network was trained with), and of the choice of images."""
    device: str = "cpu"
    """Device that the network runs on."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Convert, save, print the accuracy at every timestep beside that of the network without time."""
        check_file(self.output, self)
        ann = bb.load(self.backbone, device=self.device)
        learned = any(isinstance(each, networks.QCFS) for each in conversion.activations_of(ann).values())
        if self.dataset is None:
            self.data.refuse()
            refuse_unused(self, ["split", "seed", "images"], "without a --dataset")
        if learned:
            refuse_unused(self, ["images", "percentile"], "with a QCFS network, whose thresholds are learned")
        if self.method == "max":
            refuse_unused(self, ["percentile"], "with the method max")
        splits = None if self.dataset is None else self.data.load_for(ann, self.dataset, self.seed)
        images = None
        if splits is not None and not learned:
            rows = np.random.default_rng(self.seed).permutation(len(splits.train))[: self.images]
            images = splits.train.images[np.sort(rows)]
        network = bb.convert(ann, images, timesteps=self.timesteps, method=self.method, percentile=self.percentile)
        if splits is not None:
            before, after = (_accuracy(each, splits[self.split]) for each in (ann, network))
            print(f"accuracy % on {self.split}, without time: {100 * before[0]:.2f}")
            print(f"accuracy % on {self.split}, converted:", accuracy_line(after))
            print(f"converted at t={self.timesteps} - without time: {100 * (after[-1] - before[0]):+.2f} points")
        bb.save(network, self.output, division=ann.division)
        print("backbone:", self.output)


def _accuracy(network: bb.Backbone, samples: bb.Samples) -> np.ndarray:
    return contract.accuracy(network, samples.images, samples.labels, contract.make_keys(samples.index))
