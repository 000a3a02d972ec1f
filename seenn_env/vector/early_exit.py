"""The early-exit vector environment: thousands of episodes as one gather a step.

    envs = gym.make_vec("seenn_env:seenn_env/EarlyExit-v0", num_envs=1024)
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps, F columns.
"""

from pathlib import Path
from typing import Any

import numpy as np

from backbones import Backbone
from backbones.argument_checks import Positive, check_kinds
from seenn_env.vector.episode_vector_env import EpisodeVectorEnv


class EarlyExitVectorEnv(EpisodeVectorEnv):
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
        render_size: see `EarlyExitEnv`.
    """

    one_shot = False

    def _act(self, actions: np.ndarray) -> np.ndarray:
        if self.timesteps == 1:
            return np.ones(self.num_envs, np.bool_)
        self._timestep += actions == 0
        return (actions == 1) | (self._timestep == self.timesteps)


class LiveVectorEnv(EarlyExitVectorEnv):
    """`EarlyExitVectorEnv` of a backbone run live, without a recording; its further arguments are the same."""

    @check_kinds
    def __init__(self, num_envs: Positive = 1, *, backbone: Backbone | str | Path, **settings: Any) -> None:
        super().__init__(num_envs, backbone=backbone, **settings)
