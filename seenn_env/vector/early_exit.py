"""The early-exit vector environment: thousands of episodes as one gather a step.

    envs = gym.make_vec("seenn_env:seenn_env/EarlyExit-v0", num_envs=1024)
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps, F columns.
"""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from backbones import Backbone, Samples
from backbones.argument_checks import Positive, check_kinds
from seenn_env.environments.dynamics import column_space, make_dynamics
from seenn_env.observations.observation import AnyObservation
from seenn_env.rewards import AnyReward, make_reward
from seenn_env.traces.traces import Traces
from seenn_env.vector.slots import SlotsVectorEnv


class EarlyExitVectorEnv(SlotsVectorEnv):
    """`EarlyExitEnv`, B episodes at a time, replayed or live; spaces, rewards and episode ends are the same.

    Infos are of finished episodes only (in `final_info` when the mode is "same_step"), and of all slots in
    `reset`: dictionaries are the slowest part of a step.

    Live, `num_envs` is the batch: with it equal to a recording's `batch_size`, its dtype and repeats, everything
    equals a replay of it bit for bit. A step runs the network once, and once more where an episode has reached T
    and another begins in the same step.

    Args:
        num_envs: B.
        traces, backbone, samples, split, observation, reward, reward_options, repeats, dtype: see `EarlyExitEnv`.
        order: "epoch" (shuffled without replacement over the whole vector), "independent" (slot i has a
            stream of its own, seed + i: step for step equal to `SyncVectorEnv` over single environments)
            or "sequential" (row after row).
        autoreset_mode: "same_step", "next_step" or "disabled".
        max_episode_steps: truncate an episode at its step of this number, as Gymnasium's `TimeLimit` does.
        batch_size: `num_envs` or None.
        render_mode: "rgb_array", "ansi" or None.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    @check_kinds
    def __init__(
        self,
        num_envs: Positive = 1,
        traces: Traces | str | Path | None = None,
        *,
        backbone: Backbone | str | Path | None = None,
        samples: Samples | str | None = None,
        split: str = "policy",
        observation: AnyObservation = "features",
        reward: AnyReward = "seenn",
        reward_options: dict[str, Any] | None = None,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        max_episode_steps: Positive | None = None,
        repeats: Positive = 1,
        batch_size: Positive | None = None,
        dtype: str = "float32",
        render_mode: str | None = None,
    ) -> None:
        dynamics = make_dynamics(
            traces,
            num_envs=num_envs,
            backbone=backbone,
            samples=samples,
            split=split,
            observation=observation,
            reward=make_reward(reward, reward_options),
            repeats=repeats,
            batch_size=batch_size,
            dtype=dtype,
        )
        self.observation_names, space = column_space(dynamics)
        super().__init__(
            num_envs,
            dynamics,
            space,
            2,
            first_timestep=1,
            order=order,
            autoreset_mode=autoreset_mode,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )

    def _act(self, actions: np.ndarray) -> np.ndarray:
        if self.timesteps == 1:
            return np.ones(self.num_envs, np.bool_)
        self._timestep += actions == 0
        return (actions == 1) | (self._timestep == self.timesteps)

    def _observe(self, slots: np.ndarray, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return self.dynamics.observe(slots, rows, timesteps)


class LiveVectorEnv(EarlyExitVectorEnv):
    """`EarlyExitVectorEnv` of a backbone run live, without a recording.

    Args:
        num_envs: B.
        backbone: the network, a file of one, or "digits", the packaged one.
        settings: further arguments of `EarlyExitVectorEnv`.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    @check_kinds
    def __init__(self, num_envs: Positive = 1, *, backbone: Backbone | str | Path, **settings: Any) -> None:
        super().__init__(num_envs, backbone=backbone, **settings)
