"""`seenn record`: a frozen backbone over one split, once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import backbones as bb
import seenn_env
from agents.commands.output import check_file, on_terminal


@dataclass(frozen=True)
class Record:
    """Record a backbone's logits at every timestep; killed at any moment, the same command continues."""

    backbone: Path
    """File of the backbone."""
    output: Path
    """File of the traces."""
    dataset: str = "digits"
    """Name of the dataset."""
    data_dir: Path | None = None
    """Folder of the data, where the dataset is not part of a package."""
    split: Literal["train", "policy", "calibration", "test"] = "policy"
    """Which of its splits."""
    repeats: int = 1
    """Rows of each image, each with input spikes of its own (random encodings)."""
    batch_size: int = 256
    """Rows that the network runs at once."""
    dtype: Literal["float32", "float16"] = "float16"
    """Of what is stored."""
    hidden: bool = False
    """Also record the pooled spikes of the last hidden layer."""
    membrane: bool = False
    """Also record its pooled membrane potentials."""
    images: bool = False
    """Also keep the images."""
    seed: int = 0
    """Of the dataset's split: the one that the backbone was trained with."""
    device: str = "cpu"
    """Where the network runs."""
    overwrite: bool = False
    """Replace a file that is there."""

    def run(self) -> None:
        """Record and print a summary."""
        check_file(self.output, self.overwrite)
        backbone = bb.load(self.backbone, device=self.device)
        samples = bb.load_dataset(self.dataset, self.data_dir, seed=self.seed)[self.split]
        traces = seenn_env.record(
            backbone,
            samples,
            self.output,
            repeats=self.repeats,
            batch_size=self.batch_size,
            dtype=self.dtype,
            hidden=self.hidden,
            membrane=self.membrane,
            images=self.images,
            overwrite=self.overwrite,
            progress=on_terminal(),
        )
        print(traces.summary())
        print("traces:", self.output)
