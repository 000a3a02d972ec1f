"""Overhead of counting operations in a recording, on one core.

    python benchmarks/energy/overhead.py --output benchmarks/energy/overhead.json

Recordings with and without take turns, the order changing every round; ratios are taken round by round.
Processor time is the process's own, which on a busy machine is more meaningful than wall time.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import backbones as bb
from agents.commands import machine
from backbones.networks import SpikingNetwork
from seenn_env import record

RESULTS = Path(__file__).parent


def subjects(rows: int) -> dict[str, tuple[SpikingNetwork, bb.Samples, int]]:
    """Trained networks, their samples, and the batch size."""
    digits = bb.load("digits")
    resnet9 = bb.load(Path("runs/cifar10-jpeg/backbone.safetensors"))
    noise = np.random.default_rng(0).integers(256, size=(rows, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(rows) % 10
    images = bb.Samples(noise, labels, np.arange(rows), tuple("0123456789"), "noise", "test")
    return {
        "small (digits, Poisson, T = 8), batches of 256": (digits, bb.load_dataset("digits").test, 256),
        "resnet9, width 48 (CIFAR-10, T = 4), batches of 32": (resnet9, images, 32),
    }


def measure(network: SpikingNetwork, samples: bb.Samples, batch_size: int, rounds: int) -> dict[str, Any]:
    """Quartiles of (time with) / (time without), and the median times."""
    spent = np.zeros((rounds + 1, 2, 2))
    for round_ in range(rounds + 1):
        for energy in (0, 1) if round_ % 2 else (1, 0):
            clocks = time.process_time(), time.perf_counter()
            record(network, samples, batch_size=batch_size, energy=bool(energy))
            spent[round_, energy] = time.process_time() - clocks[0], time.perf_counter() - clocks[1]
    spent = spent[1:]  # the first warms up
    ratios = np.quantile(spent[:, 1] / spent[:, 0], [0.25, 0.5, 0.75], axis=0)
    return {
        "rows": len(samples),
        "processor": ratios[:, 0].tolist(),
        "wall": ratios[:, 1].tolist(),
        "processor_seconds_without": float(np.median(spent[:, 0, 0])),
    }


def main() -> None:
    """Print the ratios, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=64, help="of the large network")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"machine": machine(), "rounds": args.rounds}
    print(found["machine"])
    for name, subject in subjects(args.rows).items():
        found[name] = measure(*subject, args.rounds)
        for clock in ("processor", "wall"):
            low, middle, high = found[name][clock]
            print(f"{name:<52} {clock:<9} {middle:.3f} [{low:.3f}, {high:.3f}]")
    if args.output is not None:
        args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
