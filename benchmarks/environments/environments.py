"""Speeds of vector environments, their SB3 form, and PPO end to end beside stable-baselines3's defaults.

python benchmarks/environments/environments.py --output benchmarks/environments/environments.json

With EnvPool installed, it is measured too. Speeds are steps of one thread in a second of processor time.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from lower_bound import BareGather, GatherWithDictionaries
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from timing import Speeds, race

from agents.commands import machine
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.sb3.presets import PRESETS
from backbones.machine import torch_threads
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, Traces, evaluate, to_sb3
from seenn_env.rewards import LinearReward

NATIVE, NATIVE_SB3 = "EarlyExit, native", "EarlyExit, native, to_sb3"
GATHER, DUMMY = "bare numpy gather", "EarlyExit, DummyVecEnv(64) + Monitor"
FLOOR = "bare numpy gather + bare dictionaries"
CARTPOLE, ENVPOOL = "Gymnasium CartPole-v1, native", "EnvPool CartPole-v1"
TARGETS = ((NATIVE, CARTPOLE, 0.5), (NATIVE, ENVPOOL, 4.0), (NATIVE_SB3, DUMMY, 20.0), (NATIVE_SB3, GATHER, 0.45))
"""Contender, reference, target ratio."""
EXITS = {"random actions": 0.5, "as a policy at 1.5 timesteps": 2 / 3, "as a patient policy": 0.1}
"""Probability that a row exits in a step, by kind of play."""
_ACTIONS = 64


def measure_environments(num_envs: int, rounds: int, seed: int, learning: bool) -> tuple[dict[str, Any], str]:
    """JSON-able figures and the table."""
    traces = Traces.load("digits")
    speeds = race(make_contenders(traces, num_envs, seed), rounds=rounds, clock=time.process_time)
    lines = [f"{num_envs} rows, one thread, random actions, {rounds} interleaved rounds", ""]
    lines.append(f"{'environment':<40} {'M steps per CPU-second':>24}   [quartiles]")
    for name, (low, middle, high) in speeds.to_dict().items():
        lines.append(f"{name:<40} {middle / 1e6:>24.3f}   [{low / 1e6:.3f}, {high / 1e6:.3f}]")
    lines += ["", "ratios, round by round"]
    ratios = {}
    for name, other, aim in TARGETS:
        if other in speeds.rates:
            ratios[f"{name} / {other}"], line = _ratio(speeds, name, other)
            lines.append(f"{line}, aim ≥ {aim}")
        else:
            lines.append(f"{name} / {other}: not measured, {other.split()[0].lower()} cannot be imported")
    result: dict[str, Any] = {
        "num_envs": num_envs,
        "steps_per_cpu_second": speeds.to_dict(),
        "ratios": ratios,
        "dictionaries": {},
    }
    for play, chance in EXITS.items():
        actions = (np.random.default_rng(seed).random((_ACTIONS, num_envs)) < chance).astype(np.int64)
        speeds = race(make_gathers(traces, actions, seed), rounds=rounds, clock=time.process_time)
        pairs = ((NATIVE_SB3, GATHER), (NATIVE_SB3, FLOOR), (FLOOR, GATHER))
        compared = {f"{name} / {other}": _ratio(speeds, name, other) for name, other in pairs}
        result["dictionaries"][play] = {
            "exit_probability": chance,
            "steps_per_cpu_second": speeds.to_dict(),
            "ratios": {key: values for key, (values, _) in compared.items()},
        }
        lines += ["", f"cost of dictionaries, {play} (exit probability {chance:.2f})"]
        lines += [line for _, line in compared.values()]
    if learning:
        result["ppo"], more = measure_learning(traces.select("policy"), seed)
        lines += ["", *more]
    return result, "\n".join(lines)


def _ratio(speeds: Speeds, name: str, other: str) -> tuple[list[float], str]:
    low, middle, high = speeds.ratio(name, other)
    return [low, middle, high], f"{name} / {other}: {middle:.2f} [{low:.2f}, {high:.2f}]"


def make_contenders(traces: Traces, num_envs: int, seed: int) -> dict[str, Callable[[], int]]:
    """Contenders by name: each takes some steps and returns their number."""
    actions = np.random.default_rng(seed).integers(2, size=(_ACTIONS, num_envs))
    native = EarlyExitVectorEnv(num_envs, traces)
    native.reset(seed=seed)
    dummy = DummyVecEnv([lambda: Monitor(EarlyExitEnv(traces))] * 64)
    dummy.reset()
    cartpole = gym.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")
    cartpole.reset(seed=seed)
    contenders = {
        NATIVE: _steps(native, actions),
        **make_gathers(traces, actions, seed),
        DUMMY: _steps(dummy, actions[:, :64]),
        CARTPOLE: _steps(cartpole, actions),
    }
    del contenders[FLOOR]
    with contextlib.suppress(ImportError, FileNotFoundError):  # some of its releases miss files of their own
        import envpool

        pool = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=num_envs, num_threads=1, seed=seed)
        pool.reset()
        contenders[ENVPOOL] = _steps(pool, actions)
    return contenders


def make_gathers(traces: Traces, actions: np.ndarray, seed: int) -> dict[str, Callable[[], int]]:
    """The SB3 form, and bare gathers of the same episodes without and with dictionaries."""
    num_envs = actions.shape[1]
    as_sb3 = to_sb3(EarlyExitVectorEnv(num_envs, traces), infos="episode")
    as_sb3.seed(seed)
    as_sb3.reset()
    rows = traces.select("policy")
    return {
        NATIVE_SB3: _steps(as_sb3, actions),
        GATHER: _steps(BareGather(rows, num_envs, seed), actions),
        FLOOR: _steps(GatherWithDictionaries(rows, num_envs, seed), actions),
    }


def _steps(env: Any, actions: np.ndarray) -> Callable[[], int]:
    def work() -> int:
        for now in actions:
            result = env.step(now)  # kept until the next step, as in a training loop
        del result
        return actions.size

    return work


class _Curve(BaseCallback):
    """Callback that records the deterministic policy's mean reward over all rows during training."""

    def __init__(self, traces: Traces, reward: LinearReward, every: int) -> None:
        super().__init__()
        self.traces, self.reward_of, self.every = traces, reward, every
        self.points: list[tuple[int, float, float]] = []
        self.evaluating, self.begin = 0.0, 0.0

    def _on_training_start(self) -> None:
        self.begin = time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps < self.every * len(self.points):
            return
        pause = time.perf_counter()
        network = self.model.policy
        network.set_training_mode(False)
        rewards = evaluate(LearnedPolicy(network), self.traces, reward=self.reward_of).rewards
        assert rewards is not None
        self.points.append((self.num_timesteps, pause - self.begin - self.evaluating, float(rewards.mean())))
        self.evaluating += time.perf_counter() - pause

    def _on_training_end(self) -> None:
        self.every = 0
        self._on_rollout_start()


def measure_learning(traces: Traces, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Frames per second and learning curve of PPO with our preset, and with SB3's defaults on `DummyVecEnv`."""
    reward = LinearReward(0.1)
    preset = PRESETS["ppo"]
    algorithm, num_envs, arguments = preset.algorithm(), preset.num_envs, preset.arguments
    ours = to_sb3(EarlyExitVectorEnv(num_envs, traces, reward=reward), infos="episode")
    theirs = DummyVecEnv([lambda: Monitor(EarlyExitEnv(traces, reward=reward))] * 8)
    runs = {
        "our preset, native": (algorithm("MlpPolicy", ours, seed=seed, device="cpu", **arguments), 600_000),
        "SB3's defaults, DummyVecEnv(8)": (PPO("MlpPolicy", theirs, seed=seed, device="cpu"), 60_000),
    }
    result: dict[str, Any] = {}
    lines = ["PPO end to end (evaluation left out of the time)"]
    for name, (model, steps) in runs.items():
        curve = _Curve(traces, reward, steps // 12)
        model.learn(steps, callback=curve)
        done, seconds, final = curve.points[-1]
        result[name] = {"frames_per_second": done / seconds, "final_return": final, "curve": curve.points}
        lines.append(f"{name}: {done / seconds:,.0f} frames/s, return {final:.4f} after {done:,} in {seconds:.1f} s")
    first, second = (entry["frames_per_second"] for entry in result.values())
    result["ratio"] = first / second
    lines.append(f"ratio of frames/s: {first / second:.1f}, aim ≥ 6")
    return result, lines


def main() -> None:
    """Print the table, and write the figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-learning", action="store_true", help="leave PPO out, which takes a minute or two")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with torch_threads(1):
        result, table = measure_environments(args.num_envs, args.rounds, args.seed, not args.no_learning)
    print(table)
    if args.output is not None:
        args.output.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
