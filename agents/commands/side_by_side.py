"""Episodes of several policies on one image, as pictures in a grid or as text side by side.

    episodes, names = in_order_of_exit(plays, names)
    for moment in moments(episodes):
        picture(moment, names), …

A play is a policy's list of episodes, one after each timestep and one at the exit; a moment has one episode a policy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seenn_env import rendering

Play = Sequence[rendering.Episode]

_TITLE, _GAP = 32, 16
"""Height of the names and space between frames, in pixels of frames of the usual height."""
_SPACE = "   "
"""Between texts."""


def in_order_of_exit(plays: Sequence[Play], names: Sequence[str]) -> tuple[list[Play], list[str]]:
    """Plays and their names, the earliest exit first."""
    order = sorted(range(len(plays)), key=lambda place: plays[place][-1].timestep)
    return [plays[place] for place in order], [names[place] for place in order]


def moments(plays: Sequence[Play]) -> list[list[rendering.Episode]]:
    """The plays at the same time; one that is over keeps its last episode."""
    return [[play[min(time, len(play) - 1)] for play in plays] for time in range(max(map(len, plays)))]


def picture(moment: Sequence[rendering.Episode], names: Sequence[str], size: int = rendering.HEIGHT) -> np.ndarray:
    """`[H, W, 3]` uint8: frames of a height of `size`; of several, a grid with each below its policy's name.

    The grid has √n columns, rounded up: four policies are 2 × 2.
    """
    frames = [rendering.rgb_array(episode, size=size) for episode in moment]
    if len(frames) == 1:
        return frames[0]
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    gap, title = (16 * math.ceil(length * size / rendering.HEIGHT / 16) for length in (_GAP, _TITLE))  # for codecs
    height, width = title + size + gap, frames[0].shape[1] + gap
    grid = np.full((rows * height - gap, columns * width - gap, 3), 255, np.uint8)
    for place, (name, frame) in enumerate(zip(names, frames, strict=True)):
        top, left = place // columns * height, place % columns * width
        grid[top : top + title, left : left + width - gap] = _title(name, title, width - gap)
        grid[top + title : top + title + size, left : left + width - gap] = frame
    return grid


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


def _title(name: str, height: int, width: int) -> np.ndarray:
    """`[height, width, 3]` uint8: a name; of a long one, the end."""
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(0.62 * height)
    shown = name
    while draw.textlength(shown, font) > width - 1.5 * height:
        name = name[1:]
        shown = f"...{name}"
    draw.text((0.75 * height, 0.75 * height), shown, "black", font, anchor="ls")
    return np.asarray(image)
