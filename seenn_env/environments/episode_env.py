"""What the single environments share: rows of a source, one an episode, and what is told of them."""

import operator
from typing import Any

import gymnasium as gym
import numpy as np

from backbones import InputError
from seenn_env.environments.sampling import checked_options, one_seed
from seenn_env.environments.sources import Source
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.modes import RENDER_METADATA, RENDERERS, check_render_mode, warn_of_no_mode
from seenn_env.rendering.window import Window
from seenn_env.traces.traces import Traces

NOTHING = -1
"""The prediction before the first timestep."""


def one_action(action: Any) -> int:
    """The whole number that an action is, alone or in an array of one; -1 for anything else."""
    try:
        return operator.index(action)
    except TypeError:
        given = np.asarray(action)
        return int(given.item()) if given.size == 1 and given.dtype.kind in "iub" else -1


class EpisodeEnv(gym.Env[np.ndarray, np.int64]):
    """One row of a source an episode; derived ones say what is seen and what an action does.

    Args:
        source: where the answers come from.
        render_mode: "rgb_array", "human", "ansi" or None.
    """

    metadata: dict[str, Any] = RENDER_METADATA

    def __init__(self, source: Source, render_mode: str | None) -> None:
        self.source, self.reward, self.timesteps = source, source.reward, source.shape.timesteps
        self.traces: Traces | None = source.traces
        self.render_mode = check_render_mode(render_mode)
        self._window = Window(RENDER_METADATA["render_fps"]) if render_mode == "human" else None
        if render_mode is not None:
            source.remember()
        self._slots = np.arange(source.num_slots)  # all of which show the one row; the first is asked
        self._row = -1
        self._timestep = 0
        self._prediction = NOTHING
        self._running = False

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Take a row at random, or row `options["samples"]`; no timestep has run."""
        super().reset(seed=None if seed is None else one_seed(seed))
        N = len(self.source.labels)
        chosen = checked_options(options).get("samples")
        if chosen is None:
            self._row = int(self.np_random.integers(N))
        else:
            given = np.asarray(chosen)
            if given.size != 1 or given.dtype.kind not in "iu" or not 0 <= given.item() < N:
                raise InputError(f"Expected samples to be a row in 0…{N - 1}, got {chosen!r}.")
            self._row = given.item()
        self.source.begin(self._slots, self._row)
        self._timestep, self._prediction, self._running = 0, NOTHING, True

    def _run(self, timestep: int) -> None:
        """Run the network up to a timestep."""
        self._timestep, self._prediction = timestep, int(self.source.predictions(0, self._row, timestep))

    def _observe(self) -> np.ndarray:
        """The observation of this timestep, fresh."""
        return self.source.observe(0, self._row, self._timestep)

    def render(self) -> Any:
        """The episode as far as it has gone: `[H, W, 3]` uint8 ("rgb_array"), text ("ansi"), or shown ("human")."""
        if self.render_mode is None:
            warn_of_no_mode(self)
            return None
        if self._window is None:
            return RENDERERS[self.render_mode](self.episode)
        self._window.show(self.episode)
        return None

    @property
    def episode(self) -> Episode:
        """The episode as far as it has gone, for pictures of one's own; live, a render mode has to be chosen.

        Raises:
            ResetNeeded: before the first episode.
        """
        if self._row < 0:
            raise gym.error.ResetNeeded("Expected reset() before render().")
        return self.source.episode(0, self._row, self._timestep, not self._running)

    def close(self) -> None:
        """Close the window, where there is one."""
        if self._window is not None:
            self._window.close()

    def _shown(self) -> None:
        if self._window is not None:
            self.render()

    def _check_running(self) -> None:
        if not self._running:
            raise gym.error.ResetNeeded("Expected reset() before step(), and again after an episode's end.")

    def _info(self) -> dict[str, Any]:
        label = int(self.source.labels[self._row])
        return {
            "label": label,
            "prediction": self._prediction,
            "correct": self._prediction == label,
            "timestep": self._timestep,
            "sample": int(self.source.sample[self._row]),
        }

    def _end(self) -> tuple[float, dict[str, Any]]:
        """End the episode: its reward and last info."""
        info = self._info()
        info["is_success"] = info["correct"]
        self._running = False
        self._shown()
        return float(self.source.rewards(0, self._row, self._timestep)), info
