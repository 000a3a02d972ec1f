"""A window that shows episodes, by matplotlib; where there can be none, the terminal does."""

import logging
from functools import cache
from typing import Any

from seenn_env.rendering.episode import Episode
from seenn_env.rendering.frame import rgb_array
from seenn_env.rendering.text import ansi

_LOG = logging.getLogger("seenn_env")


class Window:
    """Opens with the first episode; closed by hand, it stays closed.

    Args:
        frames_per_second: how long an episode is shown.
    """

    def __init__(self, frames_per_second: float) -> None:
        self.frames_per_second = frames_per_second
        self._figure: Any = None
        self._picture: Any = None
        self._terminal = False

    def show(self, episode: Episode) -> None:
        """Show an episode as far as it has gone."""
        if self._figure is None and not self._terminal:
            self._open(episode)
        if self._terminal:
            print(ansi(episode), end="\n\n")
            return
        import matplotlib.pyplot as plt

        if plt.fignum_exists(self._figure.number):
            self._picture.set_data(rgb_array(episode))
            self._figure.canvas.draw_idle()
            self._figure.canvas.start_event_loop(1 / self.frames_per_second)

    def close(self) -> None:
        """Close the window; again is harmless."""
        if self._figure is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)
            self._figure = None

    def _open(self, episode: Episode) -> None:
        import matplotlib.pyplot as plt

        frame = rgb_array(episode)
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
        _say(" ".join(reason.split()).rstrip("."))


@cache
def _say(reason: str) -> None:  # once a process
    _LOG.warning(
        "render_mode='human' needs a window, but %s: connect a display and install PyQt6 or tkinter; "
        "until then the terminal shows the episode.",
        reason,
    )
