"""GPU figures within a number of seconds: live exit, SpikingJelly, environments and PPO; see measure.sh.

In OUT: measured.json (the figures and the duration of each part, and the parts without time) and measured.txt (the
output of the parts).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import images
import torch
import weights
from PIL import Image

import backbones as bb

ROOT = Path(__file__).parents[2]
SHOWN = {"train": 2500, "test": 1000}
"""Images of each kind that the parts read."""


@dataclass(frozen=True)
class Part:
    """One command of the repository."""

    name: str
    command: list[str]
    """After `python`."""
    needs: tuple[str, ...] = ()
    """Packages without which the part is skipped."""
    least: float = 12.0
    """Seconds without which it is not begun."""


def parts_of(backbone: Path, folder: Path, scratch: Path, device: str, dry: bool) -> list[Part]:
    """The parts, the most important first."""
    slots = ("4", "8") if dry else ("256", "1024")
    rounds, shown = ("1", "16") if dry else ("4", "500")
    live = ["-m", "agents.main", "benchmark", "--backbone", str(backbone), "--data-dir", str(folder)]
    live += ["--slots", *slots, "--rounds", rounds, "--images", shown, "--device", device]
    ours = ("gymnasium", "stable_baselines3", "tyro")
    forms = {"bfloat16-compiled": ["bfloat16", "--compile"], "float32": ["float32"], "bfloat16": ["bfloat16"]}
    if dry:
        forms = {"float32": ["float32"]}
    parts = [
        Part(f"live-{name}", [*live, "--output", str(scratch / f"live-{name}"), "--dtype", *form], ours)
        for name, form in forms.items()
    ]
    jelly = ["benchmarks/live/spikingjelly_step.py", "--backbone", str(backbone), "--data-dir", str(folder)]
    batch = "8" if dry else "512"
    jelly += ["--output", str(scratch / "spikingjelly-step.json"), "--device", device, "--batch", batch]
    jelly += ["--rounds", rounds, "--images", shown]
    training = ["benchmarks/training/throughput.py", "--output", str(scratch / "spikingjelly-training.json")]
    training += ["--device", device, "--rounds", rounds, "--batch", "4" if dry else "256"]
    training += ["--timesteps", "2", "--loss-steps", "2", "--width", "4"] if dry else ["--loss-steps", "10"]
    environments = ["benchmarks/environments/environments.py", "--output", str(scratch / "environments.json")]
    environments += ["--rounds", rounds, *(["--no-learning"] if dry else [])]
    return [
        *parts,
        Part("spikingjelly-step", jelly, (*ours, "spikingjelly")),
        Part("spikingjelly-training", training, ("spikingjelly",)),
        Part("environments", environments, ours),
    ]


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those that Python does not find."""
    find = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    return subprocess.run([sys.executable, "-c", find, *packages], capture_output=True, text=True).stdout.split()


def pictures(splits: bb.Splits, folder: Path) -> None:
    """A class-per-folder tree of some of the images."""
    for kind, samples in (("train", splits.train), ("test", splits.test)):
        few = samples.evenly(min(SHOWN[kind], len(samples)))
        for index, image, label in zip(few.index, few.images, few.labels, strict=True):
            place = folder / kind / few.class_names[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{index}.bmp")


def main() -> None:
    """Run each part that there is time for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="the archive, or a folder of torchvision's CIFAR-10")
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", type=Path, help="folder of the weights that train.sh brought back")
    parser.add_argument("--budget", type=float, default=150.0, help="seconds in all")
    parser.add_argument("--began", type=float, default=time.time(), help="since when (seconds since 1970)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="a tiny network, on the CPU")
    settings = parser.parse_args()
    out, dry = settings.out, settings.dry_run
    out.mkdir(parents=True, exist_ok=True)
    device = "cpu" if dry else settings.device
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        splits = images.read(settings.data)
        pictures(splits, scratch / splits.test.dataset)
        if settings.network is None:
            network = bb.build("resnet19", num_classes=10, timesteps=4, mean=0.5, std=0.25, width=4 if dry else 128)
        else:
            network = weights.restore(settings.network)[0]
        bb.save(network.eval(), scratch / "backbone.safetensors")
        facts: dict[str, Any] = {
            "network": "untrained" if settings.network is None else "trained",
            "fingerprint": network.fingerprint,
            "data": splits.test.dataset,
            "device": "CPU" if device == "cpu" else torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "parts": {},
        }
        waiting: list[tuple[Part, float, subprocess.Popen[bytes]]] = []
        parts = parts_of(scratch / "backbone.safetensors", scratch / splits.test.dataset, scratch, device, dry)
        # Parts without a GPU run beside the others where there are enough processors for both.
        beside = [part for part in parts if part.name == "environments" and (os.cpu_count() or 1) >= 8]
        for part in [*beside, *(part for part in parts if part not in beside)]:
            left = settings.began + settings.budget - time.time()
            if absent := missing(part.needs):
                facts["parts"][part.name] = {"left_out": f"not installed: {', '.join(absent)}"}
            elif left < part.least:
                facts["parts"][part.name] = {"left_out": f"no time: {left:.0f} s left"}
            else:
                with (scratch / f"{part.name}.txt").open("wb") as file:
                    process = subprocess.Popen(
                        [sys.executable, *part.command], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
                    )
                waiting.append((part, time.time(), process))
                if part not in beside:
                    finish(waiting.pop(), settings, scratch, facts)
            weights.write_json(out / "measured.json", facts)
        for entry in waiting:
            finish(entry, settings, scratch, facts)
        weights.write_json(out / "measured.json", facts)


def finish(
    entry: tuple[Part, float, subprocess.Popen[bytes]],
    settings: argparse.Namespace,
    scratch: Path,
    facts: dict[str, Any],
) -> None:
    """Wait for a part, or end it with the budget, and keep its figures."""
    part, began, process = entry
    try:
        process.wait(max(1.0, settings.began + settings.budget - time.time() - 2))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    name = part.name.split("-")[0]
    found: dict[str, Any] = {"seconds": round(time.time() - began, 1), "exit_status": process.returncode}
    print(part.name, found, flush=True)
    for made in (scratch / part.name / f"{name}.json", scratch / f"{part.name}.json"):
        if made.is_file():
            found["figures"] = json.loads(made.read_text())
    facts["parts"][part.name] = found
    with (settings.out / "measured.txt").open("a") as file:
        file.write(f"== {part.name}\n{(scratch / f'{part.name}.txt').read_text(errors='replace')}\n")


if __name__ == "__main__":
    main()
