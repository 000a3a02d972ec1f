"""QCFS networks trained without time, converted and recorded: accuracy at every t up to T = 32, and early exit.

    python benchmarks/conversion/conversion.py --output runs/conversion                      # digits, a minute or two
    python benchmarks/conversion/conversion.py --output runs/conversion --data-dir FOLDER    # and images in a folder

FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg; its name becomes the dataset's: call it cifar10-jpeg. Killed
at any moment, the same command continues. Thresholds and PPO's policies are set on splits "policy" and
"calibration"; "test" is evaluated once. Writes benchmarks/conversion/conversion.json and the tables of
docs/conversion.md.
"""

import argparse
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agents
import backbones as bb
import seenn_env
from agents.commands import DataOptions, TrainBackbone, line_up
from agents.policies import RULES
from backbones import contract, convert
from backbones.contract import make_keys
from backbones.machine import torch_threads
from backbones.networks import SpikingNetwork
from backbones.training import TrainingConfig

ROOT = Path(__file__).parents[2]
RESULT, PAGE = Path(__file__).with_suffix(".json"), ROOT / "docs" / "conversion.md"
SPLITS = ("policy", "calibration", "test")
SHOWN = (1, 2, 4, 8, 16, 32)
TARGETS = (1.5, 2.0, 4.0)
PPO_NAME = "SEENN-II (sequential, PPO)"
NETWORKS: dict[str, dict[str, Any]] = {
    "digits": {
        "network": "small",
        "width": 32,
        "training": TrainingConfig(epochs=30, loss="mean"),
    },
    "cifar10-jpeg": {
        "network": "resnet9",
        "width": 32,
        "training": TrainingConfig(
            epochs=16,
            batch_size=128,
            loss="mean",
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=5e-4,
            warmup=0.25,
            ema=0.998,
            crop=4,
            flip=True,
            channels_last=True,
            precision="bfloat16",
            compile=True,
        ),
    },
}
"""Settings of `seenn train-backbone`, beside `--neuron qcfs --levels 4 --timesteps 1 --encoding direct`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/conversion"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--timesteps", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3, help="policies that PPO trains")
    parser.add_argument("--total-timesteps", type=int, default=300_000, help="steps of each of these trainings")
    args = parser.parse_args()
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with torch_threads(1):
        for name in ("digits", *(["cifar10-jpeg"] if args.data_dir else [])):
            found[name] = measure(name, args)
            write(found)
            traces = seenn_env.Traces.merge(*(seenn_env.Traces.load(file(name, args, split)) for split in SPLITS))
            rows = {"converted": compare(traces, args, args.output / name / "policies")}
            direct = seenn_env.Traces.load(name)
            rows["trained directly"] = compare(direct, args, args.output / name / "policies-direct")
            found[name]["policies"] = rows
            write(found)


def file(name: str, args: argparse.Namespace, split: str) -> Path:
    return args.output / name / f"{split}.safetensors"


def write(found: dict[str, Any]) -> None:
    """The result file and the page."""
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    text = PAGE.read_text()
    PAGE.write_text(
        re.sub("(?<=<!-- tables -->\n).*(?=\n<!-- end -->)", lambda _: tables(found), text, flags=re.DOTALL)
    )
    print(tables(found), flush=True)


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train, convert and record, as far as it has not been done; accuracies of both networks."""
    folder = args.output / name
    dataset, data = (
        ("digits", DataOptions()) if name == "digits" else ("folder", DataOptions(args.data_dir, args.cache_dir))
    )
    if not (folder / "ann" / "complete").exists():
        qcfs = {"neuron": "qcfs", "levels": 4, "timesteps": 1, "encoding": "direct", "threads": 1}
        TrainBackbone(output=folder / "ann", dataset=dataset, data=data, **qcfs, **NETWORKS[name]).run()
    ann = bb.load(folder / "ann" / "backbone.safetensors")
    network = convert(ann, timesteps=args.timesteps)
    bb.save(network, folder / "converted.safetensors")
    splits = data.load(dataset, args.timesteps)
    parts = {split: record(network, splits[split], file(name, args, split)) for split in SPLITS}
    return {
        "network": {key: value for key, value in NETWORKS[name].items() if key != "training"},
        "fingerprint": network.fingerprint,
        "timesteps": args.timesteps,
        "thresholds": network.config["neuron"]["thresholds"],
        "images": {split: len(traces) for split, traces in parts.items()},
        "accuracy_without_time": {split: float(accuracy(ann, splits[split])[-1]) for split in SPLITS},
        "accuracy": {split: traces.accuracy.tolist() for split, traces in parts.items()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


def accuracy(network: SpikingNetwork, samples: bb.Samples) -> np.ndarray:
    return contract.accuracy(network, samples.images, samples.labels, make_keys(samples.index))


def record(network: SpikingNetwork, samples: bb.Samples, file: Path) -> seenn_env.Traces:
    if not file.exists():
        return seenn_env.record(network, samples, file, dtype="float16")
    traces = seenn_env.Traces.load(file)
    traces.check_backbone(network.fingerprint)
    return traces


def compare(traces: seenn_env.Traces, args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Rules and PPO, set to the targets on calibration; one row each on test."""
    learned = []
    for seed in range(args.seeds):
        saved = folder / f"ppo-seed{seed}.safetensors"
        if not saved.exists():
            agents.save(agents.train("ppo", traces, seed=seed, total_timesteps=args.total_timesteps), saved)
        learned.append(agents.load(saved))
    rules = {name: RULES[name] for name in ("confidence", "per-timestep-margin")}
    test, calibration = traces.select("test"), traces.select("calibration")
    comparison = agents.compare(
        line_up(test, calibration, TARGETS, rules, {PPO_NAME: learned}), test, log_dir=folder / "comparison"
    )
    return [
        {
            "policy": row.name,
            "accuracy": row.accuracy.estimate,
            "low": row.accuracy.low,
            "high": row.accuracy.high,
            "mean_timesteps": row.mean_timesteps,
        }
        for row in comparison.rows
    ]


def tables(found: dict[str, Any]) -> str:
    """The figures, as the page shows them."""
    lines = ["| test accuracy % | without time | " + " | ".join(f"t = {t}" for t in SHOWN) + " |"]
    lines.append("| --- " * (len(SHOWN) + 2) + "|")
    for name, result in found.items():
        curve = result["accuracy"]["test"]
        values = [result["accuracy_without_time"]["test"], *(curve[t - 1] for t in SHOWN)]
        lines.append(f"| {name} | " + " | ".join(f"{100 * value:.2f}" for value in values) + " |")
    for name, result in found.items():
        if "policies" not in result:
            continue
        lines += ["", f"Early exit on {name}, split test:", ""]
        lines += ["| network | policy | accuracy % [95 %] | timesteps |", "| --- | --- | --- | --- |"]
        for network, rows in result["policies"].items():
            last = max((row["mean_timesteps"] for row in rows if row["policy"].startswith("fixed")), default=0)
            for row in rows:
                fixed = row["policy"].startswith("fixed")
                if row["policy"] == "uniform" or (fixed and row["mean_timesteps"] not in (1, 2, 4, last)):
                    continue
                interval = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
                cells = (
                    network,
                    row["policy"],
                    f"{100 * row['accuracy']:.2f} {interval}",
                    f"{row['mean_timesteps']:.3f}",
                )
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
