"""`seenn benchmark`: the performance table on this machine."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tyro

from agents.commands.output import open_folder
from agents.commands.unused_options import refuse_unused
from backbones import machine as torch_machine

MAKES = r"{0}\.(json|txt)|scale\.(safetensors|logits\.npy)"
"""Files of the result, for a part."""
READ_BY = {
    "environments": ("num_envs", "learning"),
    "scale": ("num_envs", "gigabytes", "keep"),
    "live": ("backbone", "data_dir", "slots", "dtype", "images", "clock"),
}
"""Options that one part reads and another does not."""


@dataclass(frozen=True)
class Benchmark:
    """Measure speeds: contenders take turns in one process, figures are medians and ratios."""

    part: tyro.conf.Positional[Literal["environments", "scale", "live"]] = "environments"
    """What to measure: speeds side by side, traces that are larger than memory should be, or live early exit."""
    output: Path = Path("runs/benchmark")
    """Folder for PART.json and PART.txt."""
    num_envs: int = 1024
    """Rows of the vector environments."""
    rounds: int = 15
    """Turns of each contender."""
    learning: bool = True
    """Also compare PPO end to end with stable-baselines3's defaults (a minute or two; part "environments")."""
    gigabytes: float = 10.0
    """Size of the traces (part "scale"; twice as much is needed on the disk of the output)."""
    keep: bool = False
    """Keep the traces in the output folder (part "scale")."""
    backbone: str = "digits"
    """Name or file of the network (part "live")."""
    data_dir: Path | None = None
    """Class-per-folder images for it; without, the packaged digits, or noise (part "live")."""
    slots: tuple[int, ...] = (32, 128, 512)
    """Sizes of the slot pool (part "live")."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the network's convolutions (part "live")."""
    compile: bool = False
    """Run the network's timestep by torch.compile, with CUDA graphs on a GPU (part "live")."""
    device: str = "cpu"
    """Where the network runs (part "live")."""
    images: int = 1000
    """To calibrate on, and to stream round and round (part "live")."""
    clock: Literal["wall", "cpu"] = "wall"
    """Seconds on the wall, or of this process: the latter for machines that others keep busy (part "live")."""
    seed: int = 0
    """Of episodes and actions."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Measure, print the table, write it and its JSON."""
        for part, names in READ_BY.items():
            if part != self.part:
                unread = set(names) - set(READ_BY[self.part])
                refuse_unused(self, sorted(unread), f"with the part {self.part!r}")
        output = open_folder(self.output, self, self.overwrite, makes=MAKES.format(self.part))
        with torch_machine.torch_threads(1):
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
    """What the figures were measured on."""
    packages = ("numpy", "gymnasium", "stable-baselines3", "torch")
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        models = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        name = f"{len(models)} × {models[0]}" if models else name
    return {"cpu": name, "python": platform.python_version(), **{p: version(p) for p in packages}}
