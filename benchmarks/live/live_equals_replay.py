"""Live early exit against replay on all test images of CIFAR-10 (JPEG copy): the same exits, the same answers.

    python benchmarks/live/live_equals_replay.py --data-dir FOLDER        # one thread: a minute or two a line

FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg. Every policy runs the network itself, over images that arrive in a
shuffled order: at the recording's batch size (256 slots), where everything has to be equal, and at 100 slots, where
roundings may differ. The learned policies are trained here, on the split "policy". Prints a line a run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import agents
import backbones as bb
from agents.policies import RULES
from backbones.machine import torch_threads
from seenn_env import Traces, evaluate, record

SETTINGS: dict[str, Any] = {"dtype": "float16", "energy_images": 0}
"""The traces' dtype, and no count of energy."""
LEAST = {"patience": 2.4}
"""Mean timesteps of a rule by which either all rows exit at t = 1 or none."""


@dataclass(frozen=True)
class Args:
    data_dir: Path
    cache_dir: Path | None = None
    backbone: Path = Path("runs/cifar10-jpeg/backbone.safetensors")
    traces: str = "cifar10-jpeg"
    """Name or file: recorded on this processor, where every bit is to be equal."""
    rules: tuple[str, ...] = ("confidence", "margin", "entropy", "gap", "patience", "per-timestep-margin")
    learned: tuple[str, ...] = ("ppo", "exact")
    """Algorithms whose policies are trained towards the target."""
    policies: tuple[Path, ...] = ()
    """Files of more."""
    images: int | None = None
    """How many of the test images, for a rehearsal."""
    slots: tuple[int, ...] = (256, 100)
    target: float = 1.2
    inference_form: bool = False
    """Run `backbone.optimize()`, and replay its own recording; learned policies are still trained on `traces`."""
    output: Path | None = None


def main(args: Args) -> None:
    traces = Traces.load(args.traces)
    calibration, test = traces.select("calibration"), traces.select("test")
    splits = bb.load_dataset("folder", args.data_dir, cache_dir=args.cache_dir)
    samples = splits.test
    order = np.random.default_rng(0).permutation(len(samples))[: args.images]
    backbone = bb.load(args.backbone)
    test.check_backbone(backbone.fingerprint)
    given: dict[str, Any] = {name: RULES[name] for name in args.rules}
    given |= {path.stem: agents.load(path) for path in args.policies}
    found = []
    with torch_threads(1):
        if args.inference_form:
            backbone = backbone.optimize()
            calibration, test = (
                record(backbone, each, batch_size=256, dtype="float16") for each in (splits.calibration, samples)
            )
        for name in args.learned:
            given[name] = agents.train(name, traces, target_timesteps=args.target)
        for name, policy in given.items():
            target = max(args.target, LEAST.get(name, 1))
            policy = agents.calibrate(policy, calibration, target_timesteps=target)
            replay = evaluate(policy, test)
            for slots in args.slots:
                live = agents.classify(samples.select(order), backbone, policy, num_slots=slots, **SETTINGS)
                row = {
                    "policy": name,
                    "slots": slots,
                    "images": len(order),
                    "equal_exits": float((live.timesteps == replay.exit_timesteps[order]).mean()),
                    "equal_answers": float((live.predictions == replay.predictions[order]).mean()),
                    "mean_timesteps": live.mean_timesteps,
                    "exits": np.bincount(live.timesteps, minlength=test.timesteps + 1)[1:].tolist(),
                    "seconds": round(live.seconds, 1),
                }
                found.append(row)
                print(json.dumps(row), flush=True)
    if args.output is not None:
        args.output.write_text(json.dumps({"fingerprint": backbone.fingerprint, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
