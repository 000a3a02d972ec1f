"""What `seenn benchmark environments` measures: vector environments, their SB3 form, and PPO end to end."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.learned import LearnedPolicy
from agents.sb3_training import PRESETS
from agents.timing import race
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, LinearReward, Traces, evaluate, to_sb3

NATIVE, NATIVE_SB3 = "EarlyExit, native", "EarlyExit, native, to_sb3"
GATHER, DUMMY = "bare numpy gather", "EarlyExit, DummyVecEnv(64) + Monitor"
CARTPOLE, ENVPOOL = "Gymnasium CartPole-v1, native", "EnvPool CartPole-v1"
TARGETS = ((NATIVE, CARTPOLE, 0.5), (NATIVE, ENVPOOL, 4.0), (NATIVE_SB3, DUMMY, 20.0), (NATIVE_SB3, GATHER, 0.45))
"""Contender, the one it is held against, the ratio aimed at."""
_ACTIONS = 64


def measure_environments(num_envs: int, rounds: int, seed: int, learning: bool) -> tuple[dict[str, Any], str]:
    """JSON-able figures and the table."""
    traces = Traces.load("digits")
    speeds = race(make_contenders(traces, num_envs, seed), rounds=rounds)
    lines = [f"{num_envs} rows, one thread, random actions, {rounds} interleaved rounds", ""]
    lines.append(f"{'environment':<40} {'M steps/s':>10}   [quartiles]")
    for name, (low, middle, high) in speeds.to_dict().items():
        lines.append(f"{name:<40} {middle / 1e6:>10.3f}   [{low / 1e6:.3f}, {high / 1e6:.3f}]")
    lines += ["", "ratios, round by round"]
    ratios = {}
    for name, other, aim in TARGETS:
        if other in speeds.rates:
            low, middle, high = speeds.ratio(name, other)
            ratios[f"{name} / {other}"] = [low, middle, high]
            lines.append(f"{name} / {other}: {middle:.2f} [{low:.2f}, {high:.2f}], aim ≥ {aim}")
        else:
            lines.append(f"{name} / {other}: not measured, {other.split()[0].lower()} cannot be imported")
    result: dict[str, Any] = {"num_envs": num_envs, "steps_per_second": speeds.to_dict(), "ratios": ratios}
    if learning:
        result["ppo"], more = measure_learning(traces.select("policy"), seed)
        lines += ["", *more]
    return result, "\n".join(lines)


def make_contenders(traces: Traces, num_envs: int, seed: int) -> dict[str, Callable[[], int]]:
    """Name: a function that takes some steps and says how many."""
    actions = np.random.default_rng(seed).integers(2, size=(_ACTIONS, num_envs))
    native = EarlyExitVectorEnv(num_envs, traces)
    native.reset(seed=seed)
    as_sb3 = to_sb3(EarlyExitVectorEnv(num_envs, traces), infos="episode")
    as_sb3.reset()
    dummy = DummyVecEnv([lambda: Monitor(EarlyExitEnv(traces))] * 64)
    dummy.reset()
    cartpole = gym.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")
    cartpole.reset(seed=seed)

    def steps_of_gymnasium(env: gym.vector.VectorEnv) -> Callable[[], int]:
        def work() -> int:
            for now in actions:
                env.step(now)
            return actions.size

        return work

    def steps_of_sb3(env: VecEnv) -> Callable[[], int]:
        own = actions[:, : env.num_envs]

        def work() -> int:
            for now in own:
                env.step(now)
            return own.size

        return work

    contenders = {
        NATIVE: steps_of_gymnasium(native),
        NATIVE_SB3: steps_of_sb3(as_sb3),
        GATHER: bare_gather(traces.select("policy"), actions),
        DUMMY: steps_of_sb3(dummy),
        CARTPOLE: steps_of_gymnasium(cartpole),
    }
    with contextlib.suppress(ImportError, FileNotFoundError):  # some of its releases miss files of their own
        import envpool

        pool = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=num_envs, num_threads=1, seed=seed)
        pool.reset()
        contenders[ENVPOOL] = steps_of_gymnasium(pool)
    return contenders


def bare_gather(traces: Traces, actions: np.ndarray) -> Callable[[], int]:
    """The same work without infos: look up rewards and observations, draw new rows, remember last observations."""
    N, T = len(traces), traces.timesteps
    columns = traces.columns("features").reshape(N * T, -1)
    rewards = LinearReward()(traces.correct, np.arange(1, T + 1), T).reshape(-1)
    rng = np.random.default_rng(0)
    num_envs = actions.shape[1]
    row = np.asarray(rng.integers(N, size=num_envs))
    timestep = np.ones(num_envs, np.int64)

    def work() -> int:
        for now in actions:
            goes_on = now == 0
            timestep[:] += goes_on
            ended = ~goes_on | (timestep == T)
            at = row * T + timestep - 1
            np.where(ended, rewards[at], np.float32(0))
            slots = np.flatnonzero(ended)
            columns[at[slots]]
            row[slots] = rng.integers(N, size=len(slots))
            timestep[slots] = 1
            columns[row * T + timestep - 1]
        return actions.size

    return work


class _Curve(BaseCallback):
    """The deterministic policy's mean reward over all rows, as training goes on."""

    def __init__(self, traces: Traces, reward: LinearReward, every: int) -> None:
        super().__init__()
        self.traces, self.reward_of, self.every = traces, reward, every
        self.points: list[tuple[int, float, float]] = []
        self.spent, self.begin = 0.0, 0.0

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
        policy = LearnedPolicy(network)
        found = evaluate(policy, self.traces, reward=self.reward_of)
        assert found.rewards is not None
        self.points.append((self.num_timesteps, pause - self.begin - self.spent, float(found.rewards.mean())))
        self.spent += time.perf_counter() - pause

    def _on_training_end(self) -> None:
        self.every = 0
        self._on_rollout_start()


def measure_learning(traces: Traces, seed: int) -> tuple[dict[str, Any], list[str]]:
    """PPO with our preset, and with SB3's defaults on `DummyVecEnv`: frames a second, and the way to the return."""
    reward = LinearReward(0.1)
    kind, num_envs, arguments = (preset := PRESETS["ppo"]).algorithm(), preset.num_envs, preset.arguments
    ours = to_sb3(EarlyExitVectorEnv(num_envs, traces, reward=reward), infos="episode")
    theirs = DummyVecEnv([lambda: Monitor(EarlyExitEnv(traces, reward=reward))] * 8)
    runs = {
        "our preset, native": (kind("MlpPolicy", ours, seed=seed, device="cpu", **arguments), 600_000),
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
