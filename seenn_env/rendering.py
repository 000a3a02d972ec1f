"""Showing an episode: as a frame, as text, or in a window.

Letters: T timesteps, t of them done, K classes.
"""

from typing import Any

import gymnasium as gym
import numpy as np

from backbones import unknown_name
from seenn_env.rendering_ansi import ansi
from seenn_env.rendering_episode import Episode
from seenn_env.rendering_frame import rgb_array
from seenn_env.traces import Traces

RENDER_METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 4}


def check_render_mode(mode: str | None, known: tuple[str, ...] = ("rgb_array", "human", "ansi")) -> str | None:
    """The mode as it is.

    Raises:
        InputError: for a mode that is not known.
    """
    if mode is not None and mode not in known:
        raise unknown_name("render_mode", mode, known)
    return mode


def render(episode: Episode, mode: str | None, env: Any) -> np.ndarray | str | None:
    """The episode as `[H, W, 3]` uint8 or text; "human" shows it and gives None."""
    if mode is None:
        name = env.spec.id if env.spec is not None else type(env).__name__
        gym.logger.warn(
            "You are calling render method without specifying any render mode. You can specify the render_mode "
            f'at initialization, e.g. gym.make("{name}", render_mode="rgb_array")'
        )
        return None
    if mode == "rgb_array":
        return rgb_array(episode)
    if mode == "ansi":
        return ansi(episode)
    _show(episode)
    return None


def episode_of(traces: Traces, row: int, timestep: int, exited: bool) -> Episode:
    """A row of traces as it stands after a timestep (0: before the first)."""
    image = None
    if traces.images is not None and traces.image_index is not None:
        place = np.flatnonzero(traces.image_index == traces.sample[row])
        image = np.asarray(traces.images[place[0]]) if len(place) else None
    kind = "spikes" if traces.hidden is not None else "membrane"
    activity = traces.hidden if traces.hidden is not None else traces.membrane
    return Episode(
        logits=np.asarray(traces.logits[row, :timestep]),
        label=int(traces.labels[row]),
        timesteps=traces.timesteps,
        exited=exited,
        class_names=tuple(str(name) for name in traces.info.get("class_names", ())),
        image=image,
        activity=None if activity is None else np.asarray(activity[row, :timestep]),
        activity_kind=kind,
    )


def _show(episode: Episode) -> None:
    """In a window; in the terminal where there is no display."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":
        print(ansi(episode))
        return
    frame = rgb_array(episode)
    figure = plt.figure("seenn_env", figsize=(frame.shape[1] / 100, frame.shape[0] / 100))
    figure.clear()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(frame)
    plt.pause(1 / RENDER_METADATA["render_fps"])
