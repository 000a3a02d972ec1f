"""Accuracy at equal mean timesteps of policies fitted on the policy split, read off the calibration split.

    python benchmarks/what_helps.py            # "cifar10-jpeg"; about two minutes of one thread

Nothing here sees the test split. docs/policies.md has what came out.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agents import Confidence, Entropy, Gap, Margin, PerTimestep, TabularStopping, calibrate, exit_curve
from agents.exit_training import ExitSettings, train_exit_network
from agents.stopping_fit import StoppingSettings, fit_optimal_stopping
from seenn_env import Traces

TARGETS = (1.1, 1.2, 1.35, 1.5, 1.75)
COSTS = dict(zip(TARGETS, (0.4, 0.25, 0.12, 0.06, 0.03), strict=True))
"""For what has no way of its own to a target."""


def contenders(learned: Traces) -> dict[str, Callable[[float], Any]]:
    """Name: a function that makes a policy for a target."""

    def exact(observation: str, **settings: Any) -> Callable[[float], Any]:
        made = ExitSettings(**settings)
        return lambda t: train_exit_network(learned, made, observation=observation, target_timesteps=t)

    def stopping(observation: str, **settings: Any) -> Callable[[float], Any]:
        made = StoppingSettings(**settings)
        return lambda t: fit_optimal_stopping(learned, made, observation=observation, target_timesteps=t)

    def rule(given: Any) -> Callable[[float], Any]:
        return lambda t: calibrate(given, learned, target_timesteps=t)

    served = train_exit_network(learned, ExitSettings(cost_input=True, steps=300), observation="rich")
    rules = {"confidence": Confidence(), "entropy": Entropy(), "margin": Margin(), "gap": Gap()}
    found = {name: rule(given) for name, given in rules.items()}
    found |= {f"per-timestep {name}": rule(PerTimestep(given)) for name, given in rules.items()}
    return found | {
        "exact, features": exact("features"),
        "exact, rich": exact("rich"),
        "exact, rich, 5 members": exact("rich", members=5),
        "exact, rich, cost as input": rule(served),
        "exact, classes": exact("rich_classes"),
        "exact, classes, bottleneck 2": exact("rich_classes", bottleneck=2, dropout=0.3),
        "optimal stopping, features": stopping("features", trees=40),
        "optimal stopping, rich": stopping("rich", trees=40),
        "table": lambda t: TabularStopping.fit(learned, cost=COSTS[t]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", default="cifar10-jpeg")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    traces = Traces.load(arguments.traces)
    learned, held = traces.select("policy"), traces.select("calibration")
    print(" " * 32, *(f"{target:>6g}" for target in TARGETS), "  mean")
    for name, make in contenders(learned).items():
        points = []
        for target in TARGETS:
            curve = exit_curve(make(target), held)
            points.append(100 * float(np.interp(target, curve.mean_timesteps, curve.accuracy)))
        print(f"{name:<32}", *(f"{point:6.2f}" for point in points), f"{np.mean(points):6.2f}", flush=True)


if __name__ == "__main__":
    main()
