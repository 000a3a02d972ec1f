"""`seenn record`: a frozen backbone over one split or several, once; by `torchrun`, in several processes."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro

import backbones as bb
import seenn_env.traces
from agents.commands.data import DataOptions
from agents.commands.output import check_file, on_terminal
from agents.commands.unused_options import refuse_unused
from backbones import data, machine
from backbones.argument_checks import Natural, Positive
from backbones.atomic import check_own_folder, remove_leftovers
from backbones.energy import EnergyModel
from backbones.hashing import hash_json, hash_rows
from seenn_env import Traces

_PART = r"(train|policy|calibration|test)-.*-[0-9a-f]{16}\.safetensors"
"""Names of the files of single splits."""


@dataclass(frozen=True)
class Record:
    """Record a backbone's logits at every timestep; killed at any moment, the same command continues.

    For example:

        seenn record --backbone digits --split policy calibration --repeats 20 --output runs/traces.safetensors
    """

    backbone: Path
    """File or packaged name of the backbone."""
    output: Path
    """File of the traces."""
    dataset: str = "digits"
    """Name of the dataset."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Place and division of the dataset."""
    split: tuple[Literal["train", "policy", "calibration", "test"], ...] = ("policy",)
    """Splits to record, one after another, into one file."""
    repeats: Positive = 1
    """Rows of each image; a random encoding draws input spikes for each."""
    crop: Natural = 0
    """Pixels of padding for random crops of all repeats but the first."""
    flip: bool = False
    """Mirror half of the repeats but the first."""
    batch_size: Positive = 256
    """Rows of a batch."""
    dtype: Literal["float32", "float16"] = "float16"
    """Type of the stored values."""
    hidden: bool = False
    """Also record the pooled spikes of the last hidden layer."""
    membrane: bool = False
    """Also record its pooled membrane potentials."""
    energy: bool = False
    """Also count every row's synaptic operations and spikes, and their energy."""
    energy_model: EnergyModel = field(default_factory=EnergyModel)
    """Picojoules of each operation."""
    images: bool = False
    """Also store the images."""
    corruption: str | None = None
    """Corrupt the images first: gaussian-noise, gaussian-blur, contrast, brightness or jpeg."""
    severity: Positive = 3
    """Severity of the corruption, from 1 to 5."""
    seed: Natural = 0
    """Seed of the dataset's division: the one that the backbone was trained with."""
    device: str = "cpu"
    """Device that the network runs on."""
    overwrite: bool = False
    """Replace an existing file."""
    resumes: ClassVar[bool] = True

    def run(self) -> None:
        """Record and print a summary."""
        if (self.crop or self.flip) and self.repeats < 2:
            raise bb.InputError("Expected --repeats of at least 2 to crop or flip: the first is the image itself.")
        if not self.split or len(set(self.split)) < len(self.split):
            raise bb.InputError(f"Expected one split or several different ones, got {' '.join(self.split) or 'none'}.")
        if self.corruption is None:
            refuse_unused(self, ["severity"], "without a --corruption")
        if not self.energy:
            refuse_unused(self, ["energy_model"], "without --energy")
        with machine.process_group(long_waits=True) as group:
            partial, folder = (self.output.with_name(self.output.name + end) for end in (".partial", ".parts"))
            check_own_folder(folder)
            check_own_folder(partial)
            check_file(self.output, self, unfinished=partial if len(self.split) == 1 else folder)
            backbone = bb.load(self.backbone, device=str(machine.own_device(self.device)))
            splits = self.data.load_for(backbone, self.dataset, self.seed)
            if len(self.split) == 1:
                traces = self._record(backbone, self._shown(splits[self.split[0]]), self.output)
            else:
                shown = {self._part_file(backbone, splits[name], folder): splits[name] for name in self.split}
                if not all(file.exists() for file in shown) and self.output.exists() and not self.overwrite:
                    if all(_modified(path) <= _modified(self.output) for path in folder.rglob("*")):
                        _remove_parts(folder)  # a process was killed when it had finished
                    check_file(self.output, self)
                parts = [self._part(backbone, self._shown(samples), file) for file, samples in shown.items()]
                group.wait()  # until every process has read its parts
                if group.is_first:
                    traces = Traces.merge(*parts)
                    traces.save(self.output)
                    seenn_env.traces.delete_recording(partial)
            if group.is_first:
                _remove_parts(folder)  # those of runs of other settings, too
                print(traces.summary())
                print("traces:", self.output)

    def _shown(self, samples: bb.Samples) -> bb.Samples:
        return samples if self.corruption is None else data.corrupt(samples, self.corruption, self.severity)

    def _part(self, backbone: bb.Backbone, samples: bb.Samples, file: Path) -> Traces:
        """One split's traces, from the file of a run of the same settings that was killed if it is there."""
        unfinished = (file.with_name(f"{file.name}.partial") / "settings.json").exists()
        return Traces.load(file) if file.exists() and not unfinished else self._record(backbone, samples, file)

    def _part_file(self, backbone: bb.Backbone, samples: bb.Samples, folder: Path) -> Path:
        """Of one split: with a digest of all settings and images, so that no run takes another's."""
        fields = [name for name in ("energy", "hidden", "membrane", "images") if getattr(self, name)]
        other = {"output", "overwrite", "split", "backbone", "device"}
        settings: dict[str, Any] = {name: value for name, value in asdict(self).items() if name not in other}
        settings |= {"fingerprint": backbone.fingerprint, "division": samples.division}
        settings["data"] = hash_rows(samples.images, samples.labels)
        return folder / f"{'-'.join([samples.split, self.dtype, *fields, hash_json(settings)[:16]])}.safetensors"

    def _record(self, backbone: bb.Backbone, samples: bb.Samples, file: Path) -> Traces:
        return seenn_env.record(
            backbone,
            samples,
            file,
            repeats=self.repeats,
            augmentation=data.Augmentation(self.crop, self.flip) if self.crop or self.flip else None,
            batch_size=self.batch_size,
            dtype=self.dtype,
            hidden=self.hidden,
            membrane=self.membrane,
            energy=self.energy,
            energy_model=self.energy_model if self.energy else None,
            images=self.images,
            overwrite=self.overwrite,
            progress=on_terminal(),
        )


def _remove_parts(folder: Path) -> None:
    """Delete the recordings of single splits, complete or not, and their folder if nothing else is in it."""
    for file in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(_PART, file.name):
            file.unlink()
        elif re.fullmatch(_PART + r"\.partial", file.name):
            seenn_env.traces.delete_recording(file)
        elif re.fullmatch(rf"\.{_PART}\.[0-9a-f]{{8}}\.tmp", file.name):
            remove_leftovers(file.with_name(file.name[1:-13]))
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns
