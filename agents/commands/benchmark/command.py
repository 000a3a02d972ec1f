"""`seenn benchmark`: the performance table on this machine."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tyro

import backbones.machine
from agents.commands.output import open_folder
from agents.commands.unused_options import refuse_unused

MAKES = r"{0}\.(json|txt)|scale\.(safetensors|logits\.npy)"
"""Files of the result, for a part."""
READ_BY = {
    "environments": ("num_envs", "learning"),
    "scale": ("num_envs", "gigabytes", "keep"),
    "live": ("backbone", "data_dir", "slots", "dtype", "images", "clock", "compile", "device"),
}
"""Options by the part that reads them; options of all parts are left out."""


@dataclass(frozen=True)
class Benchmark:
    """Measure speeds: contenders alternate in one process; figures are medians and ratios."""

    part: tyro.conf.Positional[Literal["environments", "scale", "live"]] = "environments"
    """Part to measure: environments side by side, traces larger than memory, or live early exit."""
    output: Path = Path("runs/benchmark")
    """Folder for PART.json and PART.txt."""
    num_envs: int = 1024
    """Rows of the vector environments."""
    rounds: int = 15
    """Rounds, in each of which every contender runs once."""
    learning: bool = True
    """Also compare PPO end to end with stable-baselines3's defaults, in a minute or two (part "environments")."""
    gigabytes: float = 10.0
    """Size of the traces; the output's disk needs twice as much (part "scale")."""
    keep: bool = False
    """Keep the traces in the output folder (part "scale")."""
    backbone: str = "digits"
    """Name or file of the network (part "live")."""
    data_dir: Path | None = None
    """Class-per-folder images for the network (default: the packaged digits, or noise; part "live")."""
    slots: tuple[int, ...] = (32, 128, 512)
    """Sizes of the slot pool (part "live")."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's convolutions (part "live")."""
    compile: bool = False
    """Run the network's timestep by torch.compile, with CUDA graphs on a GPU (part "live")."""
    device: str = "cpu"
    """Device that the network runs on (part "live")."""
    images: int = 1000
    """Images to calibrate on, and images to stream in a cycle (part "live")."""
    clock: Literal["wall", "cpu"] = "wall"
    """Wall-clock seconds, or processor seconds of this process on a busy machine (part "live")."""
    seed: int = 0
    """Seed of episodes and actions."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Measure, print the table, write it and its JSON."""
        for part, names in READ_BY.items():
            if part != self.part:
                unread = set(names) - set(READ_BY[self.part])
                refuse_unused(self, sorted(unread), f"with the part {self.part!r}")
        output = open_folder(self.output, self, self.overwrite, makes=MAKES.format(self.part))
        with backbones.machine.torch_threads(1):
            result, table = self._measure(output.work)
        result = {"machine": machine(), **result}
        (output.work / f"{self.part}.json").write_text(json.dumps(result, indent=1) + "\n")
        (output.work / f"{self.part}.txt").write_text(table + "\n")
        output.close()
        print(table)
        print("figures:", output.final / f"{self.part}.json")

    def _measure(self, folder: Path) -> tuple[dict[str, Any], str]:
        if self.part == "environments":
            from agents.commands.benchmark.environments import measure_environments

            return measure_environments(self.num_envs, self.rounds, self.seed, self.learning)
        if self.part == "live":
            from agents.commands.benchmark.live import LiveSettings, measure_live

            names = [entry.name for entry in fields(LiveSettings)]
            return measure_live(LiveSettings(**{name: getattr(self, name) for name in names}))
        from agents.commands.benchmark.scale import measure_scale

        return measure_scale(
            folder,
            gigabytes=self.gigabytes,
            num_envs=self.num_envs,
            rounds=self.rounds,
            seed=self.seed,
            keep=self.keep,
        )


def machine() -> dict[str, Any]:
    """Processor and versions of Python and packages, for the figures."""
    packages = ("numpy", "gymnasium", "stable-baselines3", "torch")
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        models = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        name = f"{len(models)} × {models[0]}" if models else name
    return {"cpu": name, "python": platform.python_version(), **{p: version(p) for p in packages}}
