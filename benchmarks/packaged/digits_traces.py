"""Make the packaged digits: the backbone and its traces.

The traces have the images; `digits-hidden` has each image once, and the last hidden layer's spikes and potentials.

    python benchmarks/packaged/digits_traces.py                # about three minutes on two cores

The backbone is the one that `seenn quickstart` trains; its rows are recorded as there. Two torch threads
give the shipped weights bit for bit on the machine that made them; other numbers round differently.
"""

import argparse
from pathlib import Path

import torch

import backbones as bb
from agents.commands import RECORDED, Quickstart
from backbones import train
from backbones.training import TrainingConfig
from seenn_env import Traces, record

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "seenn_env" / "data")
    parser.add_argument("--backbone", type=Path, default=ROOT / "backbones" / "packaged" / "digits.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    splits = bb.load_dataset("digits")
    network = bb.build(
        "small", num_classes=10, timesteps=8, input_shape=(1, 8, 8), encoding="poisson", width=32, seed=Quickstart.seed
    )
    train(network, splits, TrainingConfig(epochs=Quickstart.epochs, seed=Quickstart.seed), progress=True)
    names = splits.train.class_names
    bb.save(network, args.backbone, division=splits.division, class_names=names)
    parts = [
        record(network, splits[split], repeats=repeats, dtype="float16", images=True)
        for split, repeats in RECORDED.items()
    ]
    traces = Traces.merge(*parts)
    file = traces.save(args.output / "digits.safetensors")
    once = [record(network, splits[s], dtype="float16", hidden=True, membrane=True, images=True) for s in RECORDED]
    Traces.merge(*once).save(args.output / "digits-hidden.safetensors")
    print(traces.summary())
    print(f"{network.fingerprint} {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
