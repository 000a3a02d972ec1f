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

from backbones import Samples
from seenn_env.answers import TraceAnswers
from seenn_env.glances import AnyGlance, is_static, open_glance
from seenn_env.rewards import Reward, make_reward
from seenn_env.slots import SlotsVectorEnv
from seenn_env.sources import Replay
from seenn_env.traces import Traces


class ChooseTimestepVectorEnv(SlotsVectorEnv):
    """`ChooseTimestepEnv` over traces, B episodes at a time; spaces, rewards and infos are the same.

    Args:
        num_envs: B.
        traces: `Traces`, a file, or the name of packaged ones.
        samples: `Samples` or the name of a dataset, whose images are shown (default: those of the traces).
        split: which split's rows to show.
        observation: "image", "image_float", an embedding `[M, F]`, or columns after timestep 1.
        reward: name of the reward, with `reward_options`, or a user's own.
        order: see `EarlyExitVectorEnv`.
        autoreset_mode: "same_step", "next_step" or "disabled".
        render_mode: "rgb_array", "ansi" or None.

    Raises:
        InputError: for bad numbers or unknown names, or images that are missing.
    """

    def __init__(
        self,
        num_envs: int = 1,
        traces: Traces | str | Path = "digits",
        *,
        samples: Samples | str | None = None,
        split: str = "policy",
        observation: AnyGlance = "image",
        reward: str | Reward = "seenn",
        reward_options: dict[str, Any] | None = None,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        render_mode: str | None = None,
    ) -> None:
        traces, static = Traces.load(traces, split=split), is_static(observation)
        source = Replay(traces, None if static else observation)  # type: ignore[arg-type]
        self._glance = open_glance(observation, source, samples, split)
        super().__init__(
            num_envs,
            TraceAnswers(traces, make_reward(reward, reward_options)),
            self._glance.space,
            traces.timesteps,
            first_timestep=0 if static else 1,
            order=order,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
        self.traces, self.observation_names = traces, self._glance.names

    def _act(self, actions: np.ndarray) -> np.ndarray:
        self._timestep = actions.astype(np.int64) + 1
        return np.ones(self.num_envs, np.bool_)

    def _look(self, slots: np.ndarray | slice, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return self._glance.of(rows)
