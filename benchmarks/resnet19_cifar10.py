"""One part of the ResNet-19 reference run on CIFAR-10, and what it brings back: see resnet19_cifar10.sh.

Needs torch, torchvision, NumPy, safetensors and tqdm alone.

OUTPUT/plan.json           throughput of the probe and the stages that follow from it
OUTPUT/log.txt             a line an epoch
OUTPUT/training.pt         the run's state, until it is done
OUTPUT/backbone.safetensors, backbone-bf16.safetensors
OUTPUT/traces-{policy,calibration,test}.safetensors        float16 logits [N, T, K], labels, sample
OUTPUT/result.json         accuracy at each timestep of each split
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

import backbones as bb
from backbones.running import make_keys, run
from backbones.splits import stratified_split
from backbones.training import Epoch, TrainingConfig, train

MORE_TO_DO = 75
"""Exit code: the time of this part is up, the same command continues."""
T = 4
SIZES = {"train": 45_000, "policy": 2_500, "calibration": 2_500}


class TimeIsUpError(Exception):
    """Raised after an epoch, whose state is on disk."""


def splits_of(root: Path | None, dry: bool) -> bb.Splits:
    """CIFAR-10 from torchvision's own files, which must be there; or a few random images."""
    if dry:
        rng = np.random.default_rng(0)
        images = rng.integers(256, size=(96, 3, 32, 32), dtype=np.uint8)
        labels, test = np.arange(96) % 10, slice(80, 96)
        sizes = {"train": 40, "policy": 20, "calibration": 20}
    else:
        from torchvision.datasets import CIFAR10

        parts = [CIFAR10(str(root), train=kind) for kind in (True, False)]
        images = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
        labels, test = np.concatenate([part.targets for part in parts]), slice(50_000, 60_000)
        sizes = SIZES
    labels = labels.astype(np.int64)
    rows = stratified_split(labels[: test.start], sizes, seed=0)
    rows["test"] = np.arange(test.start, test.stop)
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    made = {s: bb.Samples(np.ascontiguousarray(images[i]), labels[i], i, names, "cifar10", s) for s, i in rows.items()}
    return bb.Splits(**made)


def build(splits: bb.Splits, device: str, dry: bool) -> bb.SpikingNetwork:
    some = splits.train.images[::9] / 255
    return bb.build(
        "resnet19",
        num_classes=10,
        timesteps=T,
        mean=some.mean((0, 2, 3)).round(4).tolist(),
        std=some.std((0, 2, 3)).round(4).tolist(),
        seed=0,
        **({"width": 4} if dry else {}),
    ).to(device)


def config_of(stages: tuple[tuple[int, int, float], ...], dry: bool) -> TrainingConfig:
    return TrainingConfig(
        stages=stages,
        batch_size=20 if dry else 512,
        loss="tet",
        tet_lambda=0.0,
        optimizer="sgd",
        weight_decay=5e-4,
        warmup=0.2,
        label_smoothing=0.1,
        ema=0.999,
        reestimate=2 if dry else 40,
        crop=4,
        flip=True,
        cutout=16,
        precision="float32" if dry else "bfloat16",
        channels_last=True,
        compile=not dry,
        seed=0,
    )


def probe(splits: bb.Splits, device: str, seconds: float, dry: bool) -> dict[str, float]:
    """Images a second while training at T = 1 and at T, after a first epoch that is not counted."""
    speeds = {}
    for timesteps in (1, T):
        part = bb.Splits(
            splits.train.select(slice(0, 40 if dry else 16 * 512)),
            *(splits[name].select(slice(0, 10)) for name in bb.SPLITS[1:]),
        )
        seen: list[Epoch] = []
        ends = time.monotonic() + seconds / 2

        def note(epoch: Epoch, seen: list[Epoch] = seen, ends: float = ends) -> None:
            seen.append(epoch)
            if len(seen) > 1 and time.monotonic() > ends:
                raise TimeIsUpError

        with contextlib.suppress(TimeIsUpError):
            train(build(splits, device, dry), part, config_of(((timesteps, 100, 1e-3),), dry), on_epoch=note)
        speeds[str(timesteps)] = float(np.median([epoch.images_per_second for epoch in seen[1:]]))
    return speeds


def plan_of(speeds: dict[str, float], budget: float, images: int) -> list[list[float]]:
    """Stages that fill the budget, seconds of training: a quarter at T = 1 (100 epochs at most), the rest at T (80)."""
    first = max(1, min(100, int(0.25 * budget * speeds["1"] / images)))
    rest = budget - first * images / speeds["1"]
    return [[1, first, 0.2], [T, max(1, min(80, int(rest * speeds[str(T)] / images))), 0.1]]


def record(network: bb.SpikingNetwork, samples: bb.Samples, path: Path, batch_size: int) -> list[float]:
    """Write a split's traces; gives the accuracy at each timestep."""
    logits = np.empty((len(samples), T, 10), np.float16)
    for rows, batch in run(network, samples.images, make_keys(samples.index), batch_size=batch_size):
        logits[rows] = batch.float().cpu().numpy().astype(np.float16)
    tensors = {"logits": logits, "labels": samples.labels, "sample": samples.index}
    about = {"format": "seenn_env.raw_logits/1", "split": samples.split, "fingerprint": network.fingerprint}
    bb.save_tensor_file(path, {name: torch.from_numpy(value) for name, value in tensors.items()}, about)
    return [float(right) for right in (logits.argmax(-1) == samples.labels[:, None]).mean(0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of torchvision's CIFAR-10")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=1300.0, help="seconds of training in all")
    parser.add_argument("--part", type=float, default=480.0, help="seconds after which a part stops at an epoch's end")
    parser.add_argument("--probe", type=float, default=60.0, help="seconds of the throughput probe")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="a tiny network, random images, the CPU")
    settings = parser.parse_args()
    began, out, dry = time.monotonic(), settings.output, settings.dry_run
    device = "cpu" if dry else settings.device
    out.mkdir(parents=True, exist_ok=True)
    splits = splits_of(settings.data_dir, dry)
    network = build(splits, device, dry)

    if not (out / "plan.json").exists():
        speeds = probe(splits, device, settings.probe, dry)
        stages = [[1, 1, 0.2], [T, 2, 0.1]] if dry else plan_of(speeds, settings.budget, len(splits.train))
        temporary = out / "plan.json.tmp"
        temporary.write_text(json.dumps({"images_per_second": speeds, "stages": stages}) + "\n")
        temporary.replace(out / "plan.json")
    plan = json.loads((out / "plan.json").read_text())
    config = config_of(tuple((int(t), int(epochs), float(rate)) for t, epochs, rate in plan["stages"]), dry)

    def note(epoch: Epoch) -> None:
        with (out / "log.txt").open("a") as log:
            print(epoch, file=log)
        print(epoch, flush=True)
        if time.monotonic() - began > settings.part:
            raise TimeIsUpError

    if not (out / "backbone.safetensors").exists():
        try:
            train(network, splits, config, resume=out / "training.pt", on_epoch=note)
        except TimeIsUpError:
            sys.exit(MORE_TO_DO)
        bb.save(network, out / "backbone.safetensors")
        (out / "training.pt").unlink()
    network = bb.load(out / "backbone.safetensors", device=device)
    halved = {name: v.bfloat16() if v.is_floating_point() else v for name, v in network.state_dict().items()}
    about = {"format": "seenn_env.bf16_weights/1", "config": json.dumps(network.config)}
    bb.save_tensor_file(out / "backbone-bf16.safetensors", halved, about)
    names = bb.SPLITS[1:]
    batch_size = 16 if dry else 500
    right = {name: record(network, splits[name], out / f"traces-{name}.safetensors", batch_size) for name in names}
    versions = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
    }
    result = {"accuracy": right, "splits": {s: len(splits[s]) for s in bb.SPLITS}, "plan": plan, "versions": versions}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["accuracy"], indent=1))


if __name__ == "__main__":
    main()
