"""Make the packaged policies, and their card.

python benchmarks/packaged/policies.py                     # agents/data/, docs/cards/policies.md: some minutes

For each packaged trace: the best rule and plain confidence, calibrated, and PPO, DQN, the exact learner and optimal
stopping, trained with the defaults of `agents.train`, each at the trace's reference target, seed 0. They learn on split
policy, are calibrated on split calibration, and the card has the split test. The best rule is that of docs/results.md.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import agents
from agents.policies import RULES
from backbones.machine import torch_threads
from seenn_env import Traces, evaluate

ROOT = Path(__file__).parents[2]
TARGETS = {"cifar10-jpeg": 1.2, "digits": 1.5}
"""Reference targets: mean timesteps on calibration."""
BEST_RULES = {"cifar10-jpeg": "per-timestep-margin", "digits": "per-timestep-gap"}
LEARNED = ("ppo", "dqn", "exact", "optimal-stopping")
HEAD = """# Packaged policies

<!-- Written by benchmarks/packaged/policies.py: edit that. -->

`agents.load("cifar10-jpeg/ppo")` loads one by its name. Each is calibrated to the target (mean timesteps) on split
calibration of the packaged traces of its name. Accuracy and mean timesteps are of split test (CIFAR-10 is the JPEG
copy), training of one thread. `best-rule` is a threshold for every timestep on the margin of probabilities
(`cifar10-jpeg`) or of logits (`digits`).

| policy | target | test accuracy % | test timesteps | training, CPU seconds | kB |
| --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Args:
    """Where to write."""

    policies: Path = ROOT / "agents" / "data"
    card: Path = ROOT / "docs" / "cards" / "policies.md"
    total_timesteps: int = 600_000
    """Environment steps of PPO and DQN."""


def make(name: str, traces: Traces, about: str, target: float, total_timesteps: int) -> Any:
    """The policy of that name."""
    calibration = traces.select("calibration")
    if name in LEARNED:
        budget = {"total_timesteps": total_timesteps} if name in ("ppo", "dqn") else {}
        return agents.train(name, traces, target_timesteps=target, seed=0, **budget)
    rule = RULES[BEST_RULES[about] if name == "best-rule" else name]
    return agents.calibrate(rule, calibration, target_timesteps=target)


def main(args: Args) -> None:
    """Train, save, and write the card."""
    rows = []
    for about, target in TARGETS.items():
        traces = Traces.load(about)
        for name in ("best-rule", "confidence", *LEARNED):
            began = time.process_time()
            with torch_threads(1):
                policy = make(name, traces, about, target, args.total_timesteps)
            seconds = time.process_time() - began
            file = agents.save(policy, args.policies / about / f"{name}.safetensors")
            found = evaluate(policy, traces.select("test"))
            rows.append(
                f"| `{about}/{name}` | {target} | {100 * found.accuracy:.2f} | {found.mean_timesteps:.3f} "
                f"| {seconds:.0f} | {file.stat().st_size / 1000:.0f} |"
            )
            print(rows[-1], flush=True)
    args.card.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
