"""Processor time and return of the exact gradient and of PPO, on the same rows.

    python benchmarks/policies/exit_network.py --output benchmarks/policies/exit_network.json

Reward "linear" with cost 0.1, all defaults; the two take turns, seed by seed. Times are of the processor (one
thread), as machines that measure are busy; the clock's are in the file too.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agents
from seenn_env import Traces, evaluate
from seenn_env.rewards import LinearReward

ALGORITHMS = ("exact", "ppo")
DATA = ("cifar10-jpeg", "digits")


def measure(name: str, seeds: int) -> dict[str, Any]:
    traces, reward = Traces.load(name), LinearReward(0.1)
    splits = {split: traces.select(split) for split in ("policy", "calibration")}
    for part in splits.values():
        part.columns("features")
    agents.train("exact", splits["policy"], steps=1)  # warms up imports
    runs: dict[str, list[dict[str, Any]]] = {algorithm: [] for algorithm in ALGORITHMS}
    for seed in range(seeds):
        for algorithm in ALGORITHMS:
            clock, processor = time.perf_counter(), time.process_time()
            policy = agents.train(algorithm, splits["policy"], seed=seed)
            run: dict[str, Any] = {
                "processor_seconds": time.process_time() - processor,
                "seconds": time.perf_counter() - clock,
            }
            for split, part in splits.items():
                found = evaluate(policy, part, reward=reward)
                assert found.rewards is not None
                run |= {f"{split}_return": float(found.rewards.mean()), f"{split}_timesteps": found.mean_timesteps}
            runs[algorithm].append(run)
            print(name, seed, algorithm, {key: round(value, 4) for key, value in run.items()}, flush=True)
    return {"runs": runs, "summary": summary(runs)}


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    def median(algorithm: str, key: str) -> float:
        return float(np.median([run[key] for run in runs[algorithm]]))

    ratios = [
        ppo["processor_seconds"] / exact["processor_seconds"]
        for ppo, exact in zip(runs["ppo"], runs["exact"], strict=True)
    ]
    found: dict[str, Any] = {"times_faster": float(np.median(ratios))}
    for algorithm in runs:
        for key in ("processor_seconds", "policy_return", "calibration_return"):
            found[f"{algorithm}_{key}"] = median(algorithm, key)
    found["reaches"] = min(run["policy_return"] for run in runs["exact"]) >= median("ppo", "policy_return")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(DATA))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    result: dict[str, Any] = {"versions": versions, "seeds": arguments.seeds}
    for name in arguments.data:
        result[name] = measure(name, arguments.seeds)
        print(name, result[name]["summary"])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
