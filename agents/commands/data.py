"""Options of commands that load a dataset."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import backbones as bb
from agents.commands.stated_default import Stated
from agents.commands.unused_options import refuse_unused
from backbones import networks
from backbones.data import check_division


@dataclass(frozen=True)
class DataOptions:
    """Place of a dataset's files, and how they are read and divided."""

    data_dir: Path | None = None
    """Folder of the data (or file, of frames), where the dataset is not part of a package."""
    cache_dir: Stated[Path | None] = None
    """Folder for decoded images and counted events (default: in the data's folder)."""
    image_size: int | None = None
    """Resize images of a folder, or count events, to this many pixels a side."""
    policy_size: Stated[int | None] = None
    """Images for the split policy (default: a tenth of those that are no test images)."""
    calibration_size: Stated[int | None] = None
    """Images for the split calibration (default: likewise)."""
    download: bool = False
    """Download missing files; without it, nothing is downloaded."""

    def refuse(self) -> None:
        """Refuse these options where there is no dataset."""
        refuse_unused(self, [entry.name for entry in fields(self)], "without a --dataset")

    def load(self, dataset: str, timesteps: int | None, seed: int = 0) -> bb.Splits:
        """The splits of a dataset for a network of T = `timesteps`."""
        return bb.load_dataset(
            dataset,
            self.data_dir,
            seed=seed,
            cache_dir=self.cache_dir,
            image_size=self.image_size,
            timesteps=timesteps,
            policy_size=self.policy_size,
            calibration_size=self.calibration_size,
            download=self.download,
        )

    def load_for(self, backbone: networks.SpikingNetwork, dataset: str, seed: int = 0) -> bb.Splits:
        """The splits of a dataset for a trained network; an `InputError` for another division than it had."""
        splits = self.load(dataset, backbone.timesteps, seed)
        check_division(splits.division, backbone.division)
        return splits
