"""Episodes of several policies on one image, side by side, as pictures or text.

    episodes, names = in_order_of_exit(plays, names)
    for moment in moments(episodes):
        picture(moment, names), …

A play is a policy's list of episodes, one after each timestep and one at the exit; a moment has one episode a policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seenn_env import rendering

Play = Sequence[rendering.Episode]

_TITLE, _GAP = 32, 16
"""Height of the names and space between frames, in pixels: multiples of 16, as video codecs require."""
_SPACE = "   "
"""Between texts."""


def in_order_of_exit(plays: Sequence[Play], names: Sequence[str]) -> tuple[list[Play], list[str]]:
    """Plays and their names, the earliest exit first."""
    order = sorted(range(len(plays)), key=lambda place: plays[place][-1].timestep)
    return [plays[place] for place in order], [names[place] for place in order]


def moments(plays: Sequence[Play]) -> list[list[rendering.Episode]]:
    """The plays at the same time; one that is over keeps its last episode."""
    return [[play[min(time, len(play) - 1)] for play in plays] for time in range(max(map(len, plays)))]


def picture(moment: Sequence[rendering.Episode], names: Sequence[str]) -> np.ndarray:
    """`[H, W, 3]` uint8: the frames beside each other, each below its policy's name if there are several."""
    frames = [rendering.rgb_array(episode) for episode in moment]
    if len(frames) == 1:
        return frames[0]
    titled = [np.concatenate([_title(name, frame.shape[1]), frame]) for name, frame in zip(names, frames, strict=True)]
    gap = np.full((len(titled[0]), _GAP, 3), 255, np.uint8)
    return np.concatenate([part for frame in titled for part in (gap, frame)][1:], axis=1)


def texts(
    played: Sequence[Sequence[rendering.Episode]], names: Sequence[str], columns: int, truecolor: bool
) -> list[str]:
    """The moments as text: beside each other where the terminal's columns suffice, else below each other."""
    count = len(names)
    if count == 1:
        return [rendering.ansi(episode, width=columns, truecolor=truecolor) for (episode,) in played]
    width = max(columns // count - len(_SPACE), 1)
    blocks = [
        [rendering.ansi(each, width=width, truecolor=truecolor).split("\n") for each in moment] for moment in played
    ]
    widths = [
        max(len(name), *(_visible(line) for moment in blocks for line in moment[place]))
        for place, name in enumerate(names)
    ]
    if sum(widths) + len(_SPACE) * (count - 1) > columns:
        return [
            "\n".join(
                f"{name}\n{rendering.ansi(episode, width=columns, truecolor=truecolor)}"
                for name, episode in zip(names, moment, strict=True)
            )
            for moment in played
        ]
    return [_joined([[name, *lines] for name, lines in zip(names, moment, strict=True)], widths) for moment in blocks]


def _joined(blocks: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """Lines of blocks beside each other."""
    height = max(map(len, blocks))
    rows = ([block[line] if line < len(block) else "" for block in blocks] for line in range(height))
    return "\n".join(
        _SPACE.join(cell + " " * (width - _visible(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _visible(line: str) -> int:
    """Columns of a line without its colours."""
    return len(re.sub(r"\x1b\[[\d;]*m", "", line))


def _title(name: str, width: int) -> np.ndarray:
    """`[h, width, 3]` uint8: a name; of a long one, the end."""
    image = Image.new("RGB", (width, _TITLE), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    shown = name
    while draw.textlength(shown, font) > width - 2 * _GAP:
        name = name[1:]
        shown = f"...{name}"
    draw.text((24, _TITLE - 8), shown, "black", font, anchor="ls")
    return np.asarray(image)
