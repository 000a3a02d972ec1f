"""Base of the single environments: episodes over rows, their infos, rewards and rendering."""

import operator
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Unpack

import gymnasium as gym
import numpy as np

from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from backbones.errors import shown
from backbones.tensors import as_array
from seenn_env.environments.dynamics import Settings, make_dynamics, observation_space
from seenn_env.environments.reset_arguments import checked_options, checked_seed
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.frame import HEIGHT
from seenn_env.rendering.modes import RENDER_METADATA, Window, check_mode, draw, warn_of_no_mode
from seenn_env.traces.traces import Traces

NO_PREDICTION = -1
"""The prediction before the first timestep."""


def action_number(action: Any) -> int:
    """An action as an integer, alone or in an array of one; -1 for anything else."""
    try:
        return operator.index(action)
    except TypeError:
        array = as_array(action, "an action")
        return int(array.item()) if array.size == 1 and array.dtype.kind in "iub" else -1


class EpisodeEnv(gym.Env[np.ndarray, np.int64]):
    """One row an episode; derived classes define the effect of actions, and describe the arguments."""

    metadata: dict[str, Any] = RENDER_METADATA
    one_shot: ClassVar[bool]
    """Whether one action, the number of timesteps, is the whole episode."""

    @abstractmethod
    def _act(self, action: int) -> bool:
        """Run the network as far as the action says; whether the episode ends there."""

    @check_kinds
    def __init__(
        self,
        traces: Traces | str | Path | None = None,
        *,
        render_mode: str | None = None,
        render_size: Positive = HEIGHT,
        **settings: Unpack[Settings],
    ) -> None:
        dynamics = make_dynamics(traces, one_shot=self.one_shot, **settings)
        self.dynamics, self.reward, self.timesteps = dynamics, dynamics.reward, dynamics.shape.timesteps
        self.observation_names, self.observation_space = observation_space(dynamics)
        self.action_space: gym.spaces.Discrete = gym.spaces.Discrete(self.timesteps if self.one_shot else 2)
        self.traces: Traces | None = dynamics.traces
        self.origin = dynamics.origin
        check_mode(render_mode, render_size, self.metadata["render_modes"])
        self.render_mode, self.render_size = render_mode, render_size
        self._window = Window(render_size) if render_mode == "human" else None
        if render_mode is not None:
            dynamics.keep_activity()
        self._slots = np.arange(dynamics.num_slots)  # all hold the same row, and the first is read
        self._row = -1
        self._timestep = 0
        self._prediction = NO_PREDICTION
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin with a random row, or row `options["samples"]`, and run timestep 1 unless the observation is static."""
        super().reset(seed=None if seed is None else checked_seed(seed))
        N = len(self.dynamics.labels)
        chosen = checked_options(options).get("samples")
        if chosen is None:
            self._row = int(self.np_random.integers(N))
        else:
            row = as_array(chosen, "the row of a sample")
            if row.size != 1 or row.dtype.kind not in "iu" or not 0 <= row.item() < N:
                raise InputError(f"Expected options['samples'] to be a row in 0…{N - 1}, got {shown(chosen)}.")
            self._row = row.item()
        self.dynamics.begin(self._slots, self._row)
        self._timestep, self._prediction, self._running = 0, NO_PREDICTION, True
        if self.dynamics.static is None:
            self._run(1)
        self._update_window()
        return self._observe(), self._info()

    def step(self, action: np.int64 | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One action of the action space."""
        if not self._running:
            raise gym.error.ResetNeeded("Expected reset() before step(), and again after an episode's end.")
        chosen, choices = action_number(action), self.action_space.n
        if not 0 <= chosen < choices:
            steps = f"an action in 0…{choices - 1} (timesteps less one)"
            raise InputError(
                f"Expected {steps if self.one_shot else 'action 0 (continue) or 1 (exit)'}, got {shown(action)}."
            )
        ended, reward = self._act(chosen), 0.0
        info = self._info()
        if ended:
            self._running, info["is_success"] = False, info["correct"]
            reward = float(self.dynamics.rewards(0, self._row, self._timestep))
        self._update_window()
        return self._observe(), reward, ended, False, info

    def _run(self, timestep: int) -> None:
        """Run the network up to a timestep."""
        self._timestep, self._prediction = timestep, int(self.dynamics.predictions(0, self._row, timestep))

    def _observe(self) -> np.ndarray:
        """The observation of this timestep, or of the first one if one-shot: fresh."""
        return self.dynamics.observe(0, self._row, 1 if self.one_shot else self._timestep)

    def render(self) -> Any:
        """The episode so far: a frame `[H, W, 3]` uint8 ("rgb_array"), text ("ansi"), or in a window ("human")."""
        if self.render_mode is None:
            warn_of_no_mode(self)
            return None
        if self._window is None:
            return draw(self.episode, self.render_mode, self.render_size)
        self._window.show(self.episode)
        return None

    @property
    def episode(self) -> Episode:
        """The episode so far, for rendering of one's own; live, its activity is kept with a render mode only.

        `dataclasses.replace(env.episode, score=Score(…))` adds a policy's score to it, for `rendering.rgb_array`. A
        `ResetNeeded` before the first episode.
        """
        if self._row < 0:
            raise gym.error.ResetNeeded("Expected reset() before render().")
        return self.dynamics.episode(0, self._row, self._timestep, not self._running)

    def close(self) -> None:
        """Close the window, where there is one."""
        if self._window is not None:
            self._window.close()

    def _update_window(self) -> None:
        if self._window is not None:
            self.render()

    def _info(self) -> dict[str, Any]:
        label = int(self.dynamics.labels[self._row])
        return {
            "label": label,
            "prediction": self._prediction,
            "correct": self._prediction == label,
            "timestep": self._timestep,
            "sample": int(self.dynamics.sample[self._row]),
        }
