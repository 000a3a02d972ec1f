"""Render modes: frames, text, and a window by matplotlib, or the terminal where no window can be opened."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from backbones.errors import unknown_name
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.frame import check_size, rgb_array
from seenn_env.rendering.text import ansi

_LOG = logging.getLogger("seenn_env")

RENDER_METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 4}


def check_mode(mode: str | None, size: int, known: Sequence[str]) -> None:
    """Refuse unknown render modes, and sizes that frames cannot have."""
    if mode not in (None, *known):
        raise unknown_name("render_mode", mode, known)
    check_size(size)


def draw(episode: Episode, mode: str, size: int) -> np.ndarray | str:
    """The episode in the mode "rgb_array" or "ansi"; "human" shows frames in a `Window`."""
    return ansi(episode) if mode == "ansi" else rgb_array(episode, size=size)


def warn_of_no_mode(env: gym.Env | gym.vector.VectorEnv) -> None:
    """Warn of `render` without a mode, in the words of Gymnasium's own environments."""
    name = env.spec.id if env.spec is not None else "seenn_env/EarlyExit-v0"
    gym.logger.warn(
        "You are calling render method without specifying any render mode. You can specify the render_mode "
        f'at initialization, e.g. gym.make("{name}", render_mode="rgb_array")'
    )


class Window:
    """A window of that height in pixels, which opens with the first episode; closed by hand, it stays closed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._figure: Any = None
        self._picture: Any = None
        self._terminal = False

    def show(self, episode: Episode) -> None:
        """Show the episode so far."""
        if self._figure is None and not self._terminal:
            self._open(episode)
        if self._terminal:
            print(ansi(episode), end="\n\n")
            return
        import matplotlib.pyplot as plt

        if plt.fignum_exists(self._figure.number):
            self._picture.set_data(rgb_array(episode, size=self._size))
            self._figure.canvas.draw_idle()
            self._figure.canvas.start_event_loop(1 / RENDER_METADATA["render_fps"])

    def close(self) -> None:
        """Close the window; again is harmless."""
        if self._figure is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)
            self._figure = None

    def _open(self, episode: Episode) -> None:
        import matplotlib.pyplot as plt

        frame = rgb_array(episode, size=self._size)
        height, width = frame.shape[:2]
        try:
            figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
        except Exception as error:  # each window toolkit has its own where there is no display
            self._use_terminal(str(error))
            return
        if figure.canvas.required_interactive_framework is None:
            plt.close(figure)
            self._use_terminal(f"matplotlib has its backend {plt.get_backend()!r} only, which opens none")
            return
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        self._figure, self._picture = figure, axes.imshow(frame)
        figure.show()

    def _use_terminal(self, reason: str) -> None:
        self._terminal = True
        _warn_of_no_window(" ".join(reason.split()).rstrip("."))


@cache
def _warn_of_no_window(reason: str) -> None:  # once a process
    _LOG.warning(
        "render_mode='human' needs a window, but %s: connect a display and install PyQt6 or tkinter; "
        "until then the terminal shows the episode.",
        reason,
    )
