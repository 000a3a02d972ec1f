"""Accuracy at equal mean timesteps of policies fitted on the policy split, read off the calibration split.

    python benchmarks/policies/ablation.py            # "cifar10-jpeg"; about two minutes of one thread
    python benchmarks/policies/ablation.py --learned policy.safetensors --held calibration.safetensors

The second learns from other rows of the policy split, such as `seenn record --split policy --repeats 4 --crop 4
--flip` gives; rules are fitted to each image's first row.

No policy sees the test split. docs/learners.md has the table.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import Confidence, Entropy, Margin, PerTimestep, calibrate
from agents.calibration import exit_curve
from agents.learners import ExitSettings, StoppingSettings, TabularStopping, fit_optimal_stopping, train_exit_network
from agents.rules import Gap
from seenn_env import Traces

TARGETS = (1.1, 1.2, 1.35, 1.5, 1.75)
COSTS = dict(zip(TARGETS, (0.4, 0.25, 0.12, 0.06, 0.03), strict=True))
"""Costs of time for algorithms that do not search the target's own."""


def contenders(learned: Traces) -> dict[str, Callable[[float], Any]]:
    """Name: a function that makes a policy for a target."""

    def exact(observation: str, rows: Traces = learned, **settings: Any) -> Callable[[float], Any]:
        made = ExitSettings(**settings)
        return lambda t: train_exit_network(rows, made, observation=observation, target_timesteps=t)

    def part(share: float) -> Traces:
        names = np.unique(learned.sample)
        return learned[np.isin(learned.sample, names[:: round(1 / share)])]

    def stopping(observation: str, **settings: Any) -> Callable[[float], Any]:
        made = StoppingSettings(**settings)
        return lambda t: fit_optimal_stopping(learned, made, observation=observation, target_timesteps=t)

    first = learned[np.flatnonzero(learned.repeat == 0)]

    def rule(given: Any) -> Callable[[float], Any]:
        return lambda t: calibrate(given, first, target_timesteps=t)

    rules = {"confidence": Confidence(), "entropy": Entropy(), "margin": Margin(), "gap": Gap()}
    found = {name: rule(given) for name, given in rules.items()}
    found |= {f"per-timestep {name}": rule(PerTimestep(given)) for name, given in rules.items()}
    return found | {
        "exact, features": exact("features"),
        "exact, features, of 1/8 the images": exact("features", part(1 / 8)),
        "exact, features, of 1/4 the images": exact("features", part(1 / 4)),
        "exact, features, of 1/2 the images": exact("features", part(1 / 2)),
        "exact, rich": exact("rich"),
        "exact, classes": exact("rich+classes"),
        "optimal stopping, features": stopping("features", trees=40),
        "optimal stopping, rich": stopping("rich", trees=40),
        "table": lambda t: TabularStopping.fit(learned, cost=COSTS[t]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", default="cifar10-jpeg")
    parser.add_argument("--learned", help="traces of the policy split to learn from (default: those of --traces)")
    parser.add_argument("--held", help="traces of the calibration split (default: those of --traces)")
    parser.add_argument("--output", type=Path, help="JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learned = Traces.load(arguments.learned or arguments.traces).select("policy")
    held = Traces.load(arguments.held or arguments.traces).select("calibration")
    if learned.info["fingerprint"] != held.info["fingerprint"]:
        raise SystemExit("Expected traces of one backbone to learn from and to evaluate on, got two: record both anew.")
    print(f"{len(learned)} rows of the policy split, {len(held)} of calibration")
    print(" " * 36, *(f"{target:>6g}" for target in TARGETS), "  mean")
    found: dict[str, list[float]] = {}
    for name, make in contenders(learned).items():
        points = found[name] = []
        for target in TARGETS:
            curve = exit_curve(make(target), held)
            points.append(100 * float(np.interp(target, curve.mean_timesteps, curve.accuracy)))
        print(f"{name:<36}", *(f"{point:6.2f}" for point in points), f"{np.mean(points):6.2f}", flush=True)
    if arguments.output is not None:
        result = {"fingerprint": held.info["fingerprint"], "rows": len(learned), "targets": TARGETS, "accuracy": found}
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
