"""An episode as text for a terminal: half blocks for the image, a bar for each class and timestep.

print(ansi(episode))

Letters: T timesteps, K classes.
"""

from itertools import groupby

import numpy as np

from backbones.argument_checks import Positive, check_kinds
from seenn_env.rendering.canvas import BLUE, GREY, OTHER, RIGHT, WRONG, Color, enlarge, heat, pooled
from seenn_env.rendering.episode import Episode

_IMAGE = 32
"""Largest side of the image in pixels, which are columns; two pixels share a line."""
_NAMES = 10
_STRIP = 4
"""Lines of the activity."""
_PARTS = " ▏▎▍▌▋▊▉"
_HEIGHTS = " ▁▂▃▄▅▆▇█"


@check_kinds
def ansi(episode: Episode, *, width: Positive = 80, truecolor: bool = True) -> str:
    """Lines of text with colours; their number depends on T, K, `width` and the image's shape alone.

    Args:
        episode: to show.
        width: columns of the terminal.
        truecolor: 24-bit colours; otherwise the 256 that every terminal has.
    """
    brush = _Brush(truecolor)
    pixels = np.zeros((0, 0, 3), np.uint8) if episode.image is None else _shown(episode.image)
    picture, indent = brush.half_blocks(pixels), pixels.shape[1] + 2 if len(pixels) else 0
    table = _table(episode, width - indent, brush)
    lines = [_headline(episode, brush), _reason(episode, brush)]
    for line in range(max(len(picture), len(table))):
        left = picture[line] + "  " if line < len(picture) else " " * indent
        lines.append((left + (table[line] if line < len(table) else "")).rstrip())
    return "\n".join(lines)


class _Brush:
    def __init__(self, truecolor: bool) -> None:
        self.truecolor = truecolor

    def __call__(self, text: str, color: Color | None = None, *, under: Color | None = None, bold: bool = False) -> str:
        codes = ["1"] if bold else []
        codes += [f"38;{self._code(color)}"] if color is not None else []
        codes += [f"48;{self._code(under)}"] if under is not None else []
        inked = text.rstrip() if under is None else text
        return f"\x1b[{';'.join(codes)}m{inked}\x1b[0m{text[len(inked) :]}" if codes and inked else text

    def _code(self, color: Color) -> str:
        red, green, blue = (int(part) for part in color)
        if self.truecolor:
            return f"2;{red};{green};{blue}"
        return f"5;{16 + 36 * round(red / 51) + 6 * round(green / 51) + round(blue / 51)}"

    def half_blocks(self, pixels: np.ndarray) -> list[str]:
        """Lines of two rows of pixels `[H, W, 3]` each; the last may have one."""
        lines = []
        for y in range(0, len(pixels), 2):
            rows = pixels[y : y + 2].tolist()
            runs = groupby(zip(*(map(tuple, row) for row in rows), strict=True))
            line = ""
            for colors, run in runs:
                line += self("▀" * len(list(run)), colors[0], under=colors[1] if len(colors) > 1 else None)
            lines.append(line)
        return lines


def _verdict_color(episode: Episode) -> Color:
    return RIGHT if episode.correct else WRONG


def _headline(episode: Episode, brush: _Brush) -> str:
    t = episode.timestep
    words = [brush(f"timestep {t} of {episode.timesteps}", bold=True)]
    if t:
        answer = f"{episode.answer}, {100 * episode.confidence(t):.0f} %"
        words.append(f"answer {brush(answer, _verdict_color(episode), bold=True)}")
    words.append(f"label {brush(episode.name(episode.label), bold=True)}")
    words.append(brush(episode.verdict(), _verdict_color(episode) if episode.exited else GREY, bold=episode.exited))
    return "   ".join(words)


def _reason(episode: Episode, brush: _Brush) -> str:
    """The score beside its threshold, and the reward so far."""
    score, (paid, time) = episode.shown_score(), episode.reward_so_far()
    words = [f"{score.name} {brush(episode.reason(), bold=True)}"]
    if paid:
        words.append(f"reward {brush(paid, bold=True)}   time {brush(time, GREY)}")
    return "   ".join(words).rstrip()


def _shown(image: np.ndarray) -> np.ndarray:
    """`[h, w, 3]`: whole multiples of small images, averages of large ones."""
    side = max(image.shape[1:])
    return enlarge(image, _IMAGE if side > _IMAGE else _IMAGE // side * side)


def _table(episode: Episode, width: int, brush: _Brush) -> list[str]:
    """Timesteps across, classes down, the predictions and the activity below."""
    t, T = episode.timestep, episode.timesteps
    room = max(width - _NAMES - 2, 8)
    cell = min(max(room // T - 1, 1), 8)
    gap = " " if cell > 1 else ""
    first = max(0, min(t, T) - room) if cell == 1 else 0
    columns = range(first, min(T, first + room))
    blank = " " * cell
    exited = episode.exited

    def row(name: str, cells: list[str]) -> str:
        return f"{name}  {gap.join(cells)}".rstrip()

    numbers = []
    for column in columns:
        number = (str(column + 1) if cell > 1 else str((column + 1) % 10)).ljust(cell)[:cell]
        now = column + 1 == t
        numbers.append(brush(number, (_verdict_color(episode) if exited else None) if now else GREY, bold=now))
    lines = [row(" " * _NAMES, numbers)]
    for label in episode.shown_classes().tolist():
        is_label = label == episode.label
        name = brush(_cut(episode.name(label), _NAMES).rjust(_NAMES), None if is_label else GREY, bold=is_label)
        cells = []
        for column in columns:
            if column >= t:
                cells.append(blank if exited else brush("·".ljust(cell), GREY))
                continue
            answered = label == episode.predictions[column]
            color = _answer_color(episode, column) if answered else OTHER
            cells.append(brush(_bar(float(episode.probabilities[column, label]), cell), color))
        lines.append(row(name, cells))
    answers, shares = [], []
    for column in columns[: max(0, t - first)]:
        answer = _cut(episode.name(int(episode.predictions[column])), cell) if cell > 1 else "•"
        answers.append(brush(answer.ljust(cell), _answer_color(episode, column), bold=True))
        shares.append(brush(str(min(99, round(100 * episode.confidence(column + 1)))).ljust(cell), GREY))
    lines.append(row(brush("answer".rjust(_NAMES), GREY), answers))
    if cell > 1:
        lines.append(row(brush("%".rjust(_NAMES), GREY), shares))
    lines.append(row(*_scores(episode, columns, cell, brush)))
    for name, kind, activity in (("spikes", "spikes", episode.spikes), ("potential", "membrane", episode.potentials)):
        if activity is not None:
            shown = activity[first : columns[-1] + 1].astype(np.float32)
            lines += _strip(name, [heat(pooled(values, 2 * _STRIP), kind) for values in shown], cell, gap, brush)
    return lines


def _scores(episode: Episode, columns: range, cell: int, brush: _Brush) -> tuple[str, list[str]]:
    """Numbers, or bars where they have no room; bold once they ask for an exit."""
    score, cells = episode.shown_score(), []
    heights = score.heights()
    for column in columns[: max(0, len(score.values) - columns[0])]:
        value = float(score.values[column])
        words = f"{value:.2f}".removeprefix("0") if cell > 3 else _bar(float(heights[column]), 1)
        cells.append(brush(words.ljust(cell)[:cell], BLUE, bold=score.exits(value)))
    return brush(_cut(score.name, _NAMES).rjust(_NAMES), GREY), cells


def _strip(name: str, columns: list[np.ndarray], cell: int, gap: str, brush: _Brush) -> list[str]:
    parts = [brush.half_blocks(colors[:, None].repeat(cell, 1)) for colors in columns]
    names = [brush(name.rjust(_NAMES), GREY), *[" " * _NAMES] * (_STRIP - 1)]
    return [f"{names[line]}  {gap.join(part[line] for part in parts)}".rstrip() for line in range(_STRIP)]


def _answer_color(episode: Episode, column: int) -> Color:
    return RIGHT if episode.right(column) else WRONG


def _bar(share: float, cell: int) -> str:
    if cell == 1:
        return _HEIGHTS[round(8 * share)]
    eighths = round(8 * cell * share)
    return ("█" * (eighths // 8) + _PARTS[eighths % 8].strip()).ljust(cell)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
