"""`seenn train-backbone`: a spiking network on a dataset."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro

import backbones as bb
from agents.commands.output import close_folder, on_terminal, open_folder
from backbones.training import TrainingConfig, train


@dataclass(frozen=True)
class TrainBackbone:
    """Train a spiking network and freeze it; killed at any moment, the same command continues."""

    output: Path
    """Folder for backbone.safetensors and TensorBoard."""
    dataset: str = "digits"
    """Name of the dataset."""
    data_dir: Path | None = None
    """Folder of the data, where the dataset is not part of a package."""
    network: str = "small"
    """Name of the architecture."""
    width: int | None = None
    """Channels of its first layer (default: the architecture's own)."""
    timesteps: int = 8
    """T."""
    encoding: str = "poisson"
    """direct, poisson or latency."""
    neuron: str = "lif"
    """lif or if."""
    training: tyro.conf.OmitArgPrefixes[TrainingConfig] = field(default_factory=TrainingConfig)
    """How to train; its seed is that of the initial weights too."""
    device: str = "cpu"
    """Where the network runs."""
    overwrite: bool = False
    """Replace a result that is there."""

    def run(self) -> None:
        """Train, print the accuracy at every timestep, save."""
        splits = bb.load_dataset(self.dataset, self.data_dir)
        network = bb.build(
            self.network,
            num_classes=len(splits.train.class_names),
            timesteps=self.timesteps,
            input_shape=splits.train.images.shape[1:],
            encoding=self.encoding,
            neuron=self.neuron,
            seed=self.training.seed,
            **({} if self.width is None else {"width": self.width}),
        ).to(self.device)
        folder = open_folder(self.output, self, self.overwrite)
        result = train(
            network,
            splits,
            self.training,
            log_dir=folder / "tensorboard",
            resume=folder / "training.pt",
            progress=on_terminal(),
        )
        bb.save(network, folder / "backbone.safetensors")
        close_folder(folder)
        print("accuracy % on calibration:", accuracy_line(result.accuracy))
        print("backbone:", folder / "backbone.safetensors")


def accuracy_line(accuracy: np.ndarray) -> str:
    """Accuracy at every timestep, in words."""
    return "  ".join(f"t={t} {100 * right:.1f}" for t, right in enumerate(accuracy, 1))
