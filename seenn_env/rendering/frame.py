"""An episode as a frame: the image, the class probabilities after each timestep, the exit.

frame = rgb_array(episode)                                    # [H, W, 3] uint8

Letters: T timesteps, K classes, F features of the last hidden layer.
"""

import numpy as np

from backbones.argument_checks import check_kinds
from seenn_env.rendering.canvas import (
    FAINT,
    GREY,
    INK,
    OTHER,
    PAPER,
    RIGHT,
    TRACK,
    WRONG,
    Canvas,
    enlarge,
    fitting_size,
    heat,
    pooled,
    text_width,
)
from seenn_env.rendering.episode import Episode

# The page, in pixels; its sides are multiples of 16, as video codecs require.
_MARGIN, _IMAGE, _NAMES, _HEIGHT = 24, 224, 112, 432
_LEFT = _MARGIN + _IMAGE + _NAMES
_NUMBERS, _TOP, _BOTTOM = 76, 88, 408
_ANSWERS, _STRIP, _GAP = 40, 64, 12
_SMALL, _TEXT, _LARGE = 11, 13, 17


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
def rgb_array(episode: Episode) -> np.ndarray:
    """`[H, W, 3]` uint8; the size depends on T alone."""
    columns = _Columns(episode.timesteps)
    canvas = Canvas(-(-(columns.left(episode.timesteps) + _MARGIN) // 16) * 16, _HEIGHT)
    _draw_image(canvas, episode)
    _draw_answer(canvas, episode)
    _draw_head(canvas, episode, columns)
    _draw_bars(canvas, episode, columns)
    if episode.activity is not None:
        _draw_activity(canvas, episode, columns)
    if episode.exited:
        _draw_exit(canvas, episode, columns)
    return canvas.pixels


def _draw_image(canvas: Canvas, episode: Episode) -> None:
    """The image, or the present prediction in large letters."""
    if episode.image is not None:
        image = enlarge(episode.image, _IMAGE)
        canvas.box(_MARGIN, 24, _IMAGE, _IMAGE, TRACK)
        canvas.paste(_MARGIN + (_IMAGE - image.shape[1]) // 2, 24 + (_IMAGE - len(image)) // 2, image)
        return
    answer = episode.answer
    size = fitting_size(answer, _IMAGE - 24, (96, 64, 40, 28, 20), bold=True)
    canvas.pill(_MARGIN, 24, _IMAGE, _IMAGE, TRACK)
    middle = _MARGIN + _IMAGE // 2, 24 + _IMAGE // 2 + size * 3 // 8
    canvas.text(*middle, answer, size=size, bold=True, align="middle", color=GREY, width=_IMAGE - 12)


def _draw_answer(canvas: Canvas, episode: Episode) -> None:
    """Label, prediction and state of the episode."""
    x, middle = _MARGIN, _MARGIN + _IMAGE // 2
    color = RIGHT if episode.correct else WRONG
    answer, share = "", ""
    if episode.timestep:
        answer, share = episode.answer, f"{100 * episode.confidence(episode.timestep):.0f} %"
    rows = (("label", 284, episode.name(episode.label), INK, ""), ("answer", 318, answer, color, share))
    for title, y, words, ink, right in rows:
        width = _IMAGE - 72 - text_width(right, _LARGE)
        size = fitting_size(words, width, (_LARGE, 15, _TEXT), bold=True)
        canvas.text(x, y, title, color=GREY)
        canvas.text(x + 64, y, words, size=size, bold=True, color=ink, width=width)
        canvas.text(x + _IMAGE, y, right, size=_LARGE, color=GREY, align="right")
    if episode.exited:
        words = f"{'✓' if episode.correct else '✗'} {episode.verdict()}"
        size = fitting_size(words, _IMAGE - 16, (16, 15, 14, 13), bold=True)
        canvas.pill(x, 362, _IMAGE, 46, color)
        canvas.text(middle, 391, words, size=size, bold=True, color=PAPER, align="middle")
    else:
        canvas.pill(x, 362, _IMAGE, 46, TRACK)
        canvas.text(middle, 391, episode.verdict(), size=16, color=GREY, align="middle")


def _draw_head(canvas: Canvas, episode: Episode, columns: _Columns) -> None:
    """The timestep, the legend and the columns' numbers."""
    t, T = episode.timestep, episode.timesteps
    canvas.text(_LEFT, 44, f"timestep {t} of {T}", size=20, bold=True)
    right = columns.right
    if right - _LEFT >= 480:
        for words, color in (("other class", OTHER), ("wrong answer", WRONG), ("right answer", RIGHT)):
            canvas.text(right, 42, words, size=_SMALL, color=GREY, align="right")
            right -= text_width(words, _SMALL) + 16
            canvas.box(right, 33, 10, 10, color)
            right -= 18
    every = -(-28 // columns.pitch)
    for column in range(every - 1, T, every):
        now = column + 1 == t
        color = INK if now else GREY if column < t else FAINT
        x = columns.left(column) + columns.bar // 2
        canvas.text(x, _NUMBERS, str(column + 1), bold=now, color=color, align="middle")


def _draw_bars(canvas: Canvas, episode: Episode, columns: _Columns) -> None:
    """A row for each class shown, a column for each timestep, and its prediction below."""
    t, bar = episode.timestep, columns.bar
    bottom = _BOTTOM if episode.activity is None else _BOTTOM - _STRIP - _GAP
    end = bottom - _ANSWERS if columns.wide else bottom
    classes = episode.shown_classes()
    edges = np.linspace(_TOP, end, len(classes) + 1)
    thickness = min(48, int(edges[1] - edges[0]) - 4)
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
                canvas.box(x, top, round(bar * share), thickness, color)
            else:
                height = round(thickness * share)
                canvas.box(x, top + thickness - height, bar, height, color)
    if not columns.wide:
        return
    for column, prediction in enumerate(episode.predictions.tolist()):
        x = columns.left(column) + bar // 2
        color = RIGHT if prediction == episode.label else WRONG
        canvas.text(x, bottom - 20, episode.name(prediction), bold=True, color=color, align="middle", width=bar)
        share = episode.confidence(column + 1)
        canvas.text(x, bottom - 4, f"{100 * share:.0f} %", size=_SMALL, color=GREY, align="middle")


def _draw_activity(canvas: Canvas, episode: Episode, columns: _Columns) -> None:
    """A heat map of each timestep: one line a neuron, or neighbours averaged."""
    assert episode.activity is not None
    top, F = _BOTTOM - _STRIP, episode.activity.shape[1]
    name = "spikes" if episode.activity_kind == "spikes" else "potential"
    canvas.text(_LEFT - 14, top + 14, name, align="right", color=GREY)
    canvas.text(_LEFT - 14, top + 30, f"{F} neurons", size=_SMALL, align="right", color=GREY)
    for column in range(episode.timesteps):
        if column < episode.timestep:
            colors = heat(pooled(episode.activity[column].astype(np.float32), _STRIP), episode.activity_kind)
            canvas.paste(columns.left(column), top, colors[:, None].repeat(columns.bar, axis=1))
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
