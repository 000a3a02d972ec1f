"""Thousands of early-exit episodes as one gather a step.

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
from seenn_env.environments.sources import columns_of, open_source
from seenn_env.observations.observation import AnyObservation
from seenn_env.rewards import AnyReward, make_reward
from seenn_env.traces.traces import Traces
from seenn_env.vector.slots import SlotsVectorEnv


class EarlyExitVectorEnv(SlotsVectorEnv):
    """`EarlyExitEnv`, B episodes at a time, replayed or live; spaces, rewards and episode ends are the same.

    Infos are given for finished rows only (in `final_info` when the mode is "same_step"), and for all rows
    by `reset`: dictionaries are what costs.

    Live, `num_envs` is the batch: with it equal to a recording's `batch_size`, its dtype and repeats, everything
    equals a replay of it bit for bit. A step runs the network once, and once more where an episode has come to T
    and another begins in the same step.

    Args:
        num_envs: B.
        traces: `Traces`, a file, or the name of packaged ones (default, unless there is a backbone: "digits").
        backbone: a `Backbone`, a file of one or the name of a packaged one: run live.
        samples: the images that it looks at, or the name of a dataset.
        split: which split's rows to show.
        observation: name of the observation, or a user's own.
        reward: name of the reward, with `reward_options`, or a user's own.
        order: "epoch" (shuffled without replacement over the whole vector), "independent" (slot i has a
            stream of its own, seed + i: step for step equal to `SyncVectorEnv` over single environments)
            or "sequential" (row after row).
        autoreset_mode: "same_step", "next_step" or "disabled".
        max_episode_steps: truncate an episode at its step of this number, as Gymnasium's `TimeLimit` does.
        repeats: rows of each sample, when live, as in `record`.
        batch_size: when live, that of a recording to be equal to; only num_envs can be.
        dtype: when live, that of a trace to be equal to, as in `record`.
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
        source = open_source(
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
        self.observation_names, space = columns_of(source)
        super().__init__(
            num_envs,
            source,
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
        return self.source.observe(slots, rows, timesteps)
