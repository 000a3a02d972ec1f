"""Showing an episode: the modes, and what a picture of a row of traces shows.

Letters: T timesteps, t of them done, K classes.
"""

from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from backbones.errors import unknown_name
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.frame import rgb_array
from seenn_env.rendering.text import ansi
from seenn_env.traces.traces import Traces

RENDERERS: dict[str, Callable[[Episode], np.ndarray | str]] = {"rgb_array": rgb_array, "ansi": ansi}
"""By mode; "human" shows frames in a window (see `window`)."""

RENDER_METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 4}


def check_render_mode(mode: str | None, known: tuple[str, ...] = ("rgb_array", "human", "ansi")) -> str | None:
    """The mode as it is.

    Raises:
        InputError: for a mode that is not known.
    """
    if mode is not None and mode not in known:
        raise unknown_name("render_mode", mode, known)
    return mode


def warn_of_no_mode(env: gym.Env | gym.vector.VectorEnv) -> None:
    """What `render` says where no mode was chosen, as Gymnasium's own environments do."""
    name = env.spec.id if env.spec is not None else "seenn_env/EarlyExit-v0"
    gym.logger.warn(
        "You are calling render method without specifying any render mode. You can specify the render_mode "
        f'at initialization, e.g. gym.make("{name}", render_mode="rgb_array")'
    )


def episode_of(traces: Traces, row: int, timestep: int, exited: bool) -> Episode:
    """A row of traces as it stands after a timestep (0: before the first)."""
    image = None
    if traces.images is not None and traces.image_index is not None:
        place = np.flatnonzero(traces.image_index == traces.sample[row])
        image = np.asarray(traces.images[place[0]]) if len(place) else None
    kind: Literal["spikes", "membrane"] = "spikes" if traces.hidden is not None else "membrane"
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
