"""`seenn benchmark`: throughput of live early exit on this machine."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import backbones.machine
from agents.commands.output import open_folder
from agents.commands.stated_default import Stated
from backbones import InputError
from backbones.argument_checks import Natural, Positive


@dataclass(frozen=True)
class Benchmark:
    """Measure the throughput of live early exit beside the limit that the mean exit timestep sets.

    Contenders alternate in one process; figures are medians and ratios.

    For example:

        seenn benchmark --backbone digits --slots 32 128 --rounds 5
    """

    backbone: str = "digits"
    """Name or file of the network."""
    data_dir: Stated[Path | None] = None
    """Class-per-folder images for the network (default: the packaged digits, or noise)."""
    output: Path = Path("runs/benchmark")
    """Folder for live.json and live.txt."""
    slots: tuple[Positive, ...] = (32, 128, 512)
    """Sizes of the slot pool."""
    rounds: Positive = 15
    """Rounds, in each of which every contender runs once."""
    images: Positive = 1000
    """Images to calibrate on, and images to stream in a cycle."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's convolutions."""
    compile: bool = False
    """Run the network's timestep by torch.compile, with CUDA graphs on a GPU."""
    clock: Literal["wall", "cpu"] = "wall"
    """Wall-clock seconds, or processor seconds of this process on a busy machine."""
    device: str = "cpu"
    """Device that the network runs on."""
    seed: Natural = 0
    """Seed of the prescribed exits."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Measure, print the table, write it and its JSON."""
        from agents.commands.benchmark.live import LiveSettings, measure_live

        if not self.slots:
            raise InputError("Expected at least one size of the slot pool, got none.")
        settings = LiveSettings(**{entry.name: getattr(self, entry.name) for entry in fields(LiveSettings)})
        output = open_folder(self.output, self, self.overwrite, makes=r"live\.(json|txt)")
        try:
            with backbones.machine.torch_threads(1):
                result, table = measure_live(settings)
        except Exception:
            output.discard_without("live.json")
            raise
        (output.work / "live.json").write_text(
            json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8"
        )
        (output.work / "live.txt").write_text(table + "\n", encoding="utf-8")
        output.close()
        print(table)
        print("figures:", output.final / "live.json")


def machine() -> dict[str, Any]:
    """Processor and versions of Python and packages, for the figures."""
    packages = ("numpy", "gymnasium", "stable-baselines3", "torch")
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        models = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        name = f"{len(models)} × {models[0]}" if models else name
    return {"cpu": name, "python": platform.python_version(), **{p: version(p) for p in packages}}
