"""Returns of other reinforcement-learning libraries on seenn_env/EarlyExit-v0: docs/rl_libraries.md.

pip install --editable '.[zoo]'
python benchmarks/policies/rl_libraries.py --output benchmarks/policies/rl_libraries.json

Settings were chosen on split "calibration"; split "test" is evaluated here, once for each run.
"""

import csv
import json
import platform
import runpy
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from sb3_contrib import QRDQN, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO

import agents
import seenn_env

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "seenn_env/EarlyExit-v0"
EXAMPLES = {
    "sb3_ppo": "SB3 PPO",
    "sb3_contrib_recurrent_ppo": "sb3-contrib RecurrentPPO",
    "cleanrl_ppo": "CleanRL-style PPO",
}
ZOO: dict[str, Any] = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "ppo_lstm": RecurrentPPO, "dqn": DQN, "qrdqn": QRDQN}
REWARD = seenn_env.make_reward("seenn")
table = runpy.run_path(str(ROOT / "docs" / "figures.py"))["rl_libraries"]
"""The figures as Markdown."""


@dataclass(frozen=True)
class Args:
    """Train every algorithm with every seed, evaluate exactly, print and write the table."""

    output: Path = Path("runs/rl_libraries.json")
    """file for the figures"""
    seeds: int = 5
    """how many of them: 0, 1, …"""


class CoinFlips:
    """`env.action_space.sample()` as a policy."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        rng = state or np.random.default_rng(0)
        return rng.integers(2, size=len(observation)), rng


def returns(policy: Any) -> dict[str, float]:
    """Mean return on calibration and test images, with accuracy and mean timesteps on test."""
    calibration, test = (
        seenn_env.evaluate(policy, seenn_env.Traces.load("digits", split=split), reward=REWARD)
        for split in ("calibration", "test")
    )
    return {
        "calibration_return": float(calibration.rewards.mean()),
        "test_return": float(test.rewards.mean()),
        "test_accuracy": test.accuracy,
        "test_mean_timesteps": test.mean_timesteps,
    }


def best_rule() -> agents.Margin:
    """The margin threshold of the highest return on the images that the learners learn from."""
    traces = seenn_env.Traces.load("digits", split="policy")
    rules = [agents.Margin(float(threshold)) for threshold in np.linspace(0, 1, 101)]
    return max(rules, key=lambda rule: seenn_env.evaluate(rule, traces, reward=REWARD).rewards.mean())


def run_example(name: str, seed: int) -> dict[str, float]:
    """Train by the example's `main`; the seconds include its evaluations."""
    names = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
    began = time.perf_counter()
    if "Args" in names:
        args = names["Args"](seed=seed)
        rollout = args.num_envs * args.num_steps
        steps = args.total_timesteps // rollout * rollout
        policy = names["main"](args)
    else:
        policy = names["main"](seed=seed)
        steps = policy.num_timesteps
    return {"steps": steps, "seconds": time.perf_counter() - began, **returns(policy)}


def run_zoo(algo: str, seed: int) -> dict[str, float]:
    """Train by RL Zoo's command; the seconds are those of its monitor, without imports."""
    config = ROOT / "examples" / "rl_zoo" / f"{algo}.yml"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rl_zoo3.train", "--algo", algo, "--env", ENVIRONMENT]
        command += ["--gym-packages", "seenn_env", "--conf-file", str(config), "--device", "cpu", "--num-threads", "1"]
        command += ["--log-folder", folder, "--seed", str(seed), "--eval-freq", "-1", "--verbose", "0"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (saved,) = Path(folder).glob(f"{algo}/*/*.zip")
        monitors = [path.read_text().splitlines()[1:] for path in saved.parent.glob("*.monitor.csv")]
        seconds = max(float(row["t"]) for lines in monitors for row in csv.DictReader(lines))
        model = ZOO[algo].load(saved, device="cpu")
    return {"steps": model.num_timesteps, "seconds": seconds, **returns(model)}


def main(args: Args) -> None:
    torch.set_num_threads(1)
    policies: dict[str, list[dict[str, float]]] = {
        "coin flips": [returns(CoinFlips())],
        "always exit": [returns(agents.FixedTimestep(1))],
        "margin threshold, best on policy": [returns(best_rule())],
    }
    for name, label in EXAMPLES.items():
        policies[f"{label} (`examples/{name}.py`)"] = [run_example(name, seed) for seed in range(args.seeds)]
    for algo, kind in ZOO.items():
        policies[f"RL Zoo {kind.__name__} (`{algo}.yml`)"] = [run_zoo(algo, seed) for seed in range(args.seeds)]
    policies["oracle"] = [returns(agents.Oracle())]
    packages = ("gymnasium", "stable-baselines3", "sb3-contrib", "rl_zoo3", "torch", "numpy")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    result = {"versions": versions, "seeds": args.seeds, "policies": policies}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main(tyro.cli(Args))
