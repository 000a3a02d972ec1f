"""An episode as a frame: the image, the class probabilities and the policy's score after each timestep, the exit.

frame = rgb_array(episode, size=544)                          # [544, W, 3] uint8

Letters: T timesteps, K classes, F features of the last hidden layer.
"""

import numpy as np

from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from backbones.errors import counted
from seenn_env.rendering.canvas import (
    BLUE,
    FAINT,
    GREY,
    INK,
    OTHER,
    PAPER,
    RIGHT,
    TRACK,
    WRONG,
    Canvas,
    fitting_size,
    heat,
    pooled,
    text_width,
)
from seenn_env.rendering.episode import Episode

HEIGHT = 544
"""Of a frame in pixels, unless another is asked for."""
_SIZES = range(272, 4 * HEIGHT + 1, 16)
"""Multiples of 16, as video codecs require."""

# The page, in pixels of a frame of this height.
_MARGIN, _IMAGE, _NAMES = 24, 224, 112
_LEFT = _MARGIN + _IMAGE + _NAMES
_NUMBERS, _TOP, _BOTTOM = 76, 88, HEIGHT - 24
_ANSWERS, _STRIP, _GAP = 40, 48, 14
_SMALL, _TEXT, _LARGE = 11, 13, 17


def check_size(size: int) -> None:
    """Refuse a size that frames cannot have."""
    if size not in _SIZES:
        raise InputError(
            f"Expected render_size, the height of frames, to be a multiple of 16 from {_SIZES[0]} to {_SIZES[-1]} "
            f"pixels, got {size}: use {min(_SIZES, key=lambda each: abs(each - size))}."
        )


class _Columns:
    """Geometry of the timesteps' columns, in pixels."""

    def __init__(self, timesteps: int) -> None:
        self.pitch = min(max(96, 192 // timesteps), max(8, 576 // timesteps))
        self.bar = self.pitch - (9 if self.pitch > 60 else max(1, self.pitch // 8))
        self.wide = self.bar >= 34  # bars are horizontal, with predictions below; else they are vertical
        self.right = self.left(timesteps) - self.pitch + self.bar

    def left(self, column: int) -> int:
        """Left edge of a column (from 0)."""
        return _LEFT + column * self.pitch


@check_kinds
def rgb_array(episode: Episode, *, size: Positive = HEIGHT) -> np.ndarray:
    """`[size, W, 3]` uint8; W depends on T and the size alone. An `InputError` as of `check_size`."""
    check_size(size)
    columns = _Columns(episode.timesteps)
    canvas = Canvas(columns.left(episode.timesteps) + _MARGIN, HEIGHT, size / HEIGHT)
    _draw_image(canvas, episode)
    _draw_legend(canvas)
    _draw_answer(canvas, episode)
    _draw_head(canvas, episode, columns)
    bottom = _BOTTOM
    for name, kind, activity in (("potential", "membrane", episode.potentials), ("spikes", "spikes", episode.spikes)):
        if activity is not None:
            bottom -= _STRIP
            _draw_activity(canvas, episode, columns, name, kind, activity, bottom)
            bottom -= _GAP
    rows = len(episode.shown_classes())
    top = bottom - min(max(bottom - _GAP - _ANSWERS - _TOP - 64 * rows, 64), 160)  # few classes give it room
    _draw_score(canvas, episode, columns, top, bottom)
    _draw_bars(canvas, episode, columns, top - _GAP)
    if episode.exited:
        _draw_exit(canvas, episode, columns)
    return canvas.pixels


def _draw_image(canvas: Canvas, episode: Episode) -> None:
    """The image, or the present prediction in large letters."""
    if episode.image is not None:
        canvas.box(_MARGIN, 24, _IMAGE, _IMAGE, TRACK)
        canvas.image(_MARGIN, 24, _IMAGE, episode.image)
        return
    answer = episode.answer
    size = fitting_size(answer, _IMAGE - 24, (96, 64, 40, 28, 20), bold=True)
    canvas.pill(_MARGIN, 24, _IMAGE, _IMAGE, TRACK)
    middle = _MARGIN + _IMAGE // 2, 24 + _IMAGE // 2 + size * 3 // 8
    canvas.text(*middle, answer, size=size, bold=True, align="middle", color=GREY, width=_IMAGE - 12)


def _draw_legend(canvas: Canvas) -> None:
    """The colours of the bars, below the image."""
    x = _MARGIN
    for words, color in (("right", RIGHT), ("wrong", WRONG), ("other class", OTHER)):
        canvas.box(x, 262, 10, 10, color)
        canvas.text(x + 15, 271, words, size=_SMALL, color=GREY)
        x += text_width(words, _SMALL) + 33


def _draw_answer(canvas: Canvas, episode: Episode) -> None:
    """Label, prediction, score, reward and state of the episode."""
    color = RIGHT if episode.correct else WRONG
    answer, share = "", ""
    if episode.timestep:
        answer, share = episode.answer, f"{100 * episode.confidence(episode.timestep):.0f} %"
    score, (paid, time) = episode.shown_score(), episode.reward_so_far()
    rows = (
        ("label", episode.name(episode.label), INK, ""),
        ("answer", answer, color, share),
        (score.name, episode.reason(), INK, ""),
        ("reward", paid, INK, time and f"time {time}"),
    )
    for y, (title, words, ink, right) in zip(range(314, 450, 36), rows, strict=True):
        width = _IMAGE - 88 - text_width(right, _TEXT)
        size = fitting_size(title, 74, (_TEXT, 12, _SMALL))
        canvas.text(_MARGIN, y, title, size=size, color=GREY, width=74)
        size = fitting_size(words, width, (_LARGE, 15, _TEXT), bold=True)
        canvas.text(_MARGIN + 80, y, words, size=size, bold=True, color=ink, width=width)
        canvas.text(_MARGIN + _IMAGE, y, right, color=GREY, align="right")
    words, under, ink = episode.verdict(), TRACK, GREY
    if episode.exited:
        words, under, ink = f"{'✓' if episode.correct else '✗'} {words}", color, PAPER
    size = fitting_size(words, _IMAGE - 16, (16, 15, 14, 13), bold=episode.exited)
    canvas.pill(_MARGIN, _BOTTOM - 46, _IMAGE, 46, under)
    middle = _MARGIN + _IMAGE // 2
    canvas.text(middle, _BOTTOM - 17, words, size=size, bold=episode.exited, color=ink, align="middle")


def _draw_head(canvas: Canvas, episode: Episode, columns: _Columns) -> None:
    """The timestep and the columns' numbers."""
    t, T = episode.timestep, episode.timesteps
    canvas.text(_LEFT, 42, f"timestep {t} of {T}", size=20, bold=True)
    every = -(-28 // columns.pitch)
    for column in range(every - 1, T, every):
        now = column + 1 == t
        color = INK if now else GREY if column < t else FAINT
        x = columns.left(column) + columns.bar // 2
        canvas.text(x, _NUMBERS, str(column + 1), bold=now, color=color, align="middle")


def _draw_bars(canvas: Canvas, episode: Episode, columns: _Columns, bottom: int) -> None:
    """A row for each class shown, a column for each timestep, and its prediction below."""
    t, bar = episode.timestep, columns.bar
    end = bottom - _ANSWERS if columns.wide else bottom
    classes = episode.shown_classes()
    edges = np.linspace(_TOP, end, len(classes) + 1)
    thickness = min(72, int(edges[1] - edges[0]) - 4)
    for label, middle in zip(classes.tolist(), (edges[:-1] + edges[1:]) / 2, strict=True):
        top, is_label = int(middle - thickness / 2), label == episode.label
        color = INK if is_label else GREY
        name, width = episode.name(label), _NAMES - 22
        size = fitting_size(name, width, (_TEXT, 12, _SMALL), bold=is_label)
        baseline = top + thickness // 2 + 5
        canvas.text(_LEFT - 14, baseline, name, size=size, color=color, bold=is_label, align="right", width=width)
        for column in range(t if episode.exited else episode.timesteps):
            x = columns.left(column)
            canvas.box(x, top, bar, thickness, TRACK)
            if column >= t:
                continue
            color = OTHER
            if label == episode.predictions[column]:
                color = RIGHT if is_label else WRONG
            share = float(episode.probabilities[column, label])
            if columns.wide:
                canvas.box(x, top, bar * share, thickness, color)
            else:
                canvas.box(x, top + thickness * (1 - share), bar, thickness * share, color)
    if not columns.wide:
        return
    for column, prediction in enumerate(episode.predictions.tolist()):
        x = columns.left(column) + bar // 2
        color = RIGHT if prediction == episode.label else WRONG
        canvas.text(x, bottom - 20, episode.name(prediction), bold=True, color=color, align="middle", width=bar)
        share = episode.confidence(column + 1)
        canvas.text(x, bottom - 4, f"{100 * share:.0f} %", size=_SMALL, color=GREY, align="middle")


def _draw_score(canvas: Canvas, episode: Episode, columns: _Columns, top: int, bottom: int) -> None:
    """A standing bar for each timestep that has a score, and the threshold across."""
    score, middle = episode.shown_score(), (top + bottom) // 2
    canvas.text(_LEFT - 14, middle - 4, score.name, align="right", color=GREY, width=_NAMES - 22)
    canvas.text(_LEFT - 14, middle + 12, score.rule(), size=_SMALL, align="right")
    *heights, threshold = (score.heights() * (bottom - top)).tolist()
    shown = episode.timestep if episode.exited else episode.timesteps
    for column in range(shown):
        canvas.box(columns.left(column), top, columns.bar, bottom - top, TRACK)
    for column, height in enumerate(heights):
        canvas.box(columns.left(column), bottom - height, columns.bar, height, BLUE)
    if score.threshold is not None:
        width = columns.left(shown - 1) + columns.bar - _LEFT
        canvas.box(_LEFT, min(max(top, bottom - threshold - 1), bottom - 2), width, 2, INK)


def _draw_activity(
    canvas: Canvas, episode: Episode, columns: _Columns, name: str, kind: str, activity: np.ndarray, top: int
) -> None:
    """A heat map of each timestep: one line a neuron, or neighbours averaged."""
    canvas.text(_LEFT - 14, top + 21, name, align="right", color=GREY)
    canvas.text(_LEFT - 14, top + 37, f"{counted(activity.shape[1], 'neuron')}", size=_SMALL, align="right", color=GREY)
    for column in range(episode.timesteps):
        if column < episode.timestep:
            colors = heat(pooled(activity[column].astype(np.float32), _STRIP), kind)
            canvas.lines(columns.left(column), top, columns.bar, _STRIP, colors)
        elif not episode.exited:
            canvas.box(columns.left(column), top, columns.bar, _STRIP, TRACK)


def _draw_exit(canvas: Canvas, episode: Episode, columns: _Columns) -> None:
    """A frame around the exit's column, and the timesteps saved after it."""
    saved = episode.timesteps - episode.timestep
    if saved:
        left, height = columns.left(episode.timestep), _BOTTOM - _TOP
        width = columns.right - left
        canvas.hatch(left, _TOP, width, height, TRACK)
        words = f"{saved} timestep{'s' if saved > 1 else ''} saved"
        if width < 140:
            words = "saved" if width > 50 else ""
        canvas.text(left + width // 2, _TOP + height // 2, words, size=15, color=GREY, align="middle")
    around = 4 if columns.wide else 2
    left, width = columns.left(episode.timestep - 1) - around, columns.bar + 2 * around
    color = RIGHT if episode.correct else WRONG
    canvas.frame(left, _TOP - 6, width, _BOTTOM - _TOP + 10, color)
