"""Thousands of early-exit episodes as one gather a step.

    envs = gym.make_vec("seenn_env:seenn_env/EarlyExit-v0", num_envs=1024)
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps, F columns.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from seenn_env.answers import TraceAnswers
from seenn_env.observations import AnyObservation
from seenn_env.rewards import Reward, make_reward
from seenn_env.slots import SlotsVectorEnv
from seenn_env.traces import Traces


class EarlyExitVectorEnv(SlotsVectorEnv):
    """`EarlyExitEnv` over traces, B episodes at a time; spaces, rewards and episode ends are the same.

    Infos are given for finished rows only (in `final_info` when the mode is "same_step"), and for all rows
    by `reset`: dictionaries are what costs.

    Args:
        num_envs: B.
        traces: `Traces`, a file, or the name of packaged ones.
        split: which split's rows to show.
        observation: name of the observation, or a user's own.
        reward: name of the reward, with `reward_options`, or a user's own.
        order: "epoch" (shuffled without replacement over the whole vector), "independent" (slot i has a
            stream of its own, seed + i: step for step equal to `SyncVectorEnv` over single environments)
            or "sequential" (row after row).
        autoreset_mode: "same_step", "next_step" or "disabled".
        render_mode: "rgb_array", "ansi" or None.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    def __init__(
        self,
        num_envs: int = 1,
        traces: Traces | str | Path = "digits",
        *,
        split: str = "policy",
        observation: AnyObservation = "features",
        reward: str | Reward = "seenn",
        reward_options: dict[str, Any] | None = None,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        render_mode: str | None = None,
    ) -> None:
        traces = Traces.load(traces, split=split)
        spec = traces.observation(observation)
        super().__init__(
            num_envs,
            TraceAnswers(traces, make_reward(reward, reward_options)),
            gym.spaces.Box(spec.low, spec.high, dtype=np.float32),
            2,
            first_timestep=1,
            order=order,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
        self.traces, self.observation_names = traces, spec.names
        self._columns = traces.columns(observation).reshape(len(traces) * traces.timesteps, -1)

    def _act(self, actions: np.ndarray) -> np.ndarray:
        if self.timesteps == 1:
            return np.ones(self.num_envs, np.bool_)
        self._timestep += actions == 0
        return (actions == 1) | (self._timestep == self.timesteps)

    def _look(self, slots: np.ndarray | slice, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return self._columns.take(rows * self.timesteps + timesteps - 1, axis=0)
