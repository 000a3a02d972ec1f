"""The one-shot vector environment: thousands of choices of a timestep as one look-up a step.

    envs = gym.make_vec("seenn_env:seenn_env/ChooseTimestep-v0", num_envs=1024)
    images, infos = envs.reset(seed=0)
    images, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps.
"""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from backbones import Backbone, Samples
from backbones.argument_checks import Positive, check_kinds
from seenn_env.environments.dynamics import column_space, make_dynamics
from seenn_env.environments.static_observation import OneShotObservation, is_static, make_static_observation
from seenn_env.rewards import AnyReward, make_reward
from seenn_env.traces.traces import Traces
from seenn_env.vector.slots import SlotsVectorEnv


class ChooseTimestepVectorEnv(SlotsVectorEnv):
    """`ChooseTimestepEnv`, B episodes at a time, replayed or live; spaces, rewards and infos are the same.

    Args:
        num_envs: B.
        traces, backbone, samples, split, observation, reward, reward_options, repeats, dtype: see `ChooseTimestepEnv`.
        order, autoreset_mode, max_episode_steps, batch_size, render_mode: see `EarlyExitVectorEnv`.

    Raises:
        InputError: for bad numbers or unknown names, or images that are missing.
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
        observation: OneShotObservation = "image",
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
        static = is_static(observation)
        dynamics = make_dynamics(
            traces,
            num_envs=num_envs,
            backbone=backbone,
            samples=None if backbone is None else samples,
            split=split,
            observation=None if static else observation,  # type: ignore[arg-type]
            reward=make_reward(reward, reward_options),
            repeats=repeats,
            batch_size=batch_size,
            dtype=dtype,
        )
        self._static = make_static_observation(observation, dynamics, samples, split)
        if self._static is None:
            self.observation_names, space = column_space(dynamics)
        else:
            self.observation_names, space = self._static.names, self._static.space
        super().__init__(
            num_envs,
            dynamics,
            space,
            dynamics.shape.timesteps,
            first_timestep=0 if static else 1,
            order=order,
            autoreset_mode=autoreset_mode,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )

    def _act(self, actions: np.ndarray) -> np.ndarray:
        self._timestep = actions.astype(np.int64) + 1
        return np.ones(self.num_envs, np.bool_)

    def _observe(self, slots: np.ndarray, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        if self._static is not None:
            return self._static.of(rows)
        return self.dynamics.observe(slots, rows, np.ones_like(timesteps))
