"""Thousands of one-shot choices of a timestep as one look-up a step.

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
from seenn_env.environments.first_observation import AnyGlance, is_static, open_glance
from seenn_env.environments.sources import columns_of, open_source
from seenn_env.rewards import AnyReward, make_reward
from seenn_env.traces.traces import Traces
from seenn_env.vector.slots import SlotsVectorEnv


class ChooseTimestepVectorEnv(SlotsVectorEnv):
    """`ChooseTimestepEnv`, B episodes at a time, replayed or live; spaces, rewards and infos are the same.

    Args:
        num_envs: B.
        traces: `Traces`, a file, or the name of packaged ones (default, unless there is a backbone: "digits").
        backbone: a `Backbone`, a file of one or the name of a packaged one: run live.
        samples: `Samples` or the name of a dataset, whose images are shown (default: those of the traces).
        split: which split's rows to show.
        observation: "image", "image_float", an embedding `[M, F]`, or columns after timestep 1.
        reward: name of the reward, with `reward_options`, or a user's own.
        order: see `EarlyExitVectorEnv`.
        autoreset_mode: "same_step", "next_step" or "disabled".
        max_episode_steps, repeats, batch_size, dtype: see `EarlyExitVectorEnv`.
        render_mode: "rgb_array", "ansi" or None.

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
        observation: AnyGlance = "image",
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
        source = open_source(
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
        self._glance = open_glance(observation, source, samples, split) if static else None
        if self._glance is None:
            self.observation_names, space = columns_of(source)
        else:
            self.observation_names, space = self._glance.names, self._glance.space
        super().__init__(
            num_envs,
            source,
            space,
            source.shape.timesteps,
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
        if self._glance is not None:
            return self._glance.of(rows)
        return self.source.observe(slots, rows, np.ones_like(timesteps))
