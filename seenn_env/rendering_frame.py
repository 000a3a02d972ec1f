"""An episode as a picture: the image, the class probabilities after each timestep, the exit.

frame = rgb_array(episode)                                    # [H, W, 3] uint8

Letters: T timesteps, t of them done, K classes, F features of the last hidden layer.
"""

import itertools

import numpy as np

from seenn_env.drawing import (
    FAINT,
    GREY,
    INK,
    OTHER,
    PAPER,
    RIGHT,
    TRACK,
    WRONG,
    Canvas,
    Color,
    enlarge,
    fitting_size,
    heat,
    text_width,
)
from seenn_env.rendering_episode import Episode

# The page, in pixels; its sides are multiples of 16, which video codecs like.
_MARGIN, _IMAGE, _NAMES, _HEIGHT = 24, 224, 112, 432
_LEFT = _MARGIN + _IMAGE + _NAMES
_NUMBERS, _BARS, _BOTTOM = 76, 88, 408
_STRIP = 64


def rgb_array(episode: Episode) -> np.ndarray:
    """`[H, W, 3]` uint8; the size depends on T alone."""
    pitch = _pitch(episode.timesteps)
    width = _LEFT + episode.timesteps * pitch + _MARGIN
    canvas = Canvas(-(-width // 16) * 16, _HEIGHT)
    _draw_left(canvas, episode)
    headline = f"timestep {episode.timestep} of {episode.timesteps}"
    canvas.text(_LEFT, 44, headline, size=20, bold=True)
    if episode.timesteps * pitch >= 420:
        _draw_legend(canvas, _LEFT + episode.timesteps * pitch - max(2, pitch // 8))
    _draw_bars(canvas, episode, pitch)
    return canvas.pixels


def _draw_legend(canvas: Canvas, right: int) -> None:
    for words, color in (("other class", OTHER), ("wrong answer", WRONG), ("right answer", RIGHT)):
        canvas.text(right, 42, words, size=11, color=GREY, align="right")
        right -= text_width(words, 11) + 16
        canvas.box(right, 33, 10, 10, color)
        right -= 18


def _pitch(timesteps: int) -> int:
    """Pixels from one timestep's column to the next."""
    return min(96, max(8, 576 // timesteps))


def _verdict_color(episode: Episode) -> Color:
    return RIGHT if episode.correct else WRONG


def _draw_left(canvas: Canvas, episode: Episode) -> None:
    """The image, the label, the answer and the verdict."""
    x, t = _MARGIN, episode.timestep
    answer = episode.name(int(episode.predictions[-1])) if t else "?"
    if episode.image is None:
        canvas.pill(x, 24, _IMAGE, _IMAGE, TRACK)
        size = fitting_size(answer, _IMAGE - 24, (96, 64, 40, 28, 20), bold=True)
        baseline = 24 + _IMAGE // 2 + size * 3 // 8
        canvas.text(
            x + _IMAGE // 2, baseline, answer, size=size, bold=True, align="center", color=GREY, width=_IMAGE - 12
        )
    else:
        image = enlarge(episode.image, _IMAGE)
        canvas.box(x, 24, _IMAGE, _IMAGE, TRACK)
        canvas.paste(x + (_IMAGE - image.shape[1]) // 2, 24 + (_IMAGE - len(image)) // 2, image)
    canvas.text(x, 284, "label", color=GREY)
    canvas.text(x + 64, 284, episode.name(episode.label), size=17, bold=True, width=_IMAGE - 64)
    canvas.text(x, 318, "answer", color=GREY)
    if t:
        canvas.text(x + 64, 318, answer, size=17, bold=True, color=_verdict_color(episode), width=_IMAGE - 124)
        canvas.text(x + _IMAGE, 318, f"{100 * episode.confidence(t):.0f} %", size=17, color=GREY, align="right")
    if episode.exited:
        canvas.pill(x, 362, _IMAGE, 46, _verdict_color(episode))
        mark = "✓" if episode.correct else "✗"
        canvas.text(
            x + _IMAGE // 2, 391, f"{mark} {episode.verdict()}", size=16, bold=True, color=PAPER, align="center"
        )
    else:
        canvas.pill(x, 362, _IMAGE, 46, TRACK)
        canvas.text(x + _IMAGE // 2, 391, episode.verdict(), size=16, color=GREY, align="center")


def _draw_bars(canvas: Canvas, episode: Episode, pitch: int) -> None:
    """One column of bars a timestep, its answer below, and below that the activity."""
    t, T = episode.timestep, episode.timesteps
    bottom = _BOTTOM if episode.activity is None else _BOTTOM - _STRIP - 12
    rows_end = bottom - 40
    classes = episode.shown_classes()
    edges = np.linspace(_BARS, rows_end, len(classes) + 1).astype(int)
    thickness = min(24, int(edges[1] - edges[0]) - 4)
    tops = [int(low + high - thickness) // 2 for low, high in itertools.pairwise(edges)]
    for label, top in zip(classes.tolist(), tops, strict=True):
        is_label = label == episode.label
        baseline = top + thickness // 2 + 5
        color = INK if is_label else GREY
        canvas.text(
            _LEFT - 14, baseline, episode.name(label), color=color, bold=is_label, align="right", width=_NAMES - 34
        )
    bar = pitch - max(2, pitch // 8)
    every = -(-28 // pitch)
    for column in range(T):
        x = _LEFT + column * pitch
        if (column + 1) % every == 0 or pitch >= 28:
            now = column + 1 == t
            color = INK if now else GREY if column < t else FAINT
            canvas.text(x + bar // 2, _NUMBERS, str(column + 1), bold=now, color=color, align="center")
        if column >= t and episode.exited:
            continue
        for label, top in zip(classes.tolist(), tops, strict=True):
            canvas.box(x, top, bar, thickness, TRACK)
            if column < t:
                probability = float(episode.probabilities[column, label])
                answered = label == episode.predictions[column]
                color = (RIGHT if label == episode.label else WRONG) if answered else OTHER
                canvas.box(x, top, round(bar * probability), thickness, color)
        if column < t and bar >= 34:
            _draw_answer(canvas, episode, column + 1, x + bar // 2, bottom, bar)
    if episode.activity is not None:
        _draw_activity(canvas, episode, pitch, bar)
    if episode.exited and t < T:
        left = _LEFT + t * pitch
        width = T * pitch - t * pitch - (pitch - bar)
        canvas.hatch(left, tops[0], width, _BOTTOM - tops[0], TRACK)
        saved = f"{T - t} timestep{'s' if T - t > 1 else ''} saved"
        middle = left + width // 2, (tops[0] + _BOTTOM) // 2
        canvas.text(*middle, saved if width > 130 else "saved", size=15, color=GREY, align="center")
    if episode.exited:
        x = _LEFT + (t - 1) * pitch
        canvas.frame(x - 4, _BARS - 6, bar + 8, _BOTTOM - _BARS + 10, _verdict_color(episode))


def _draw_answer(canvas: Canvas, episode: Episode, timestep: int, x: int, bottom: int, width: int) -> None:
    prediction = int(episode.predictions[timestep - 1])
    color = RIGHT if prediction == episode.label else WRONG
    canvas.text(x, bottom - 20, episode.name(prediction), bold=True, color=color, align="center", width=width)
    canvas.text(x, bottom - 4, f"{100 * episode.confidence(timestep):.0f} %", size=11, color=GREY, align="center")


def _draw_activity(canvas: Canvas, episode: Episode, pitch: int, bar: int) -> None:
    assert episode.activity is not None
    top, F = _BOTTOM - _STRIP, episode.activity.shape[1]
    canvas.text(
        _LEFT - 14, top + 14, "spikes" if episode.activity_kind == "spikes" else "potential", align="right", color=GREY
    )
    canvas.text(_LEFT - 14, top + 30, f"{F} neurons", size=11, align="right", color=GREY)
    for column in range(episode.timesteps):
        x = _LEFT + column * pitch
        if column < episode.timestep:
            pooled = _resampled(episode.activity[column].astype(np.float32), _STRIP)
            canvas.paste(x, top, np.repeat(heat(pooled, episode.activity_kind)[:, None], bar, axis=1))
        elif not episode.exited:
            canvas.box(x, top, bar, _STRIP, TRACK)


def _resampled(values: np.ndarray, size: int) -> np.ndarray:
    """`[size]` neurons repeated, or neighbouring ones averaged."""
    F = len(values)
    if size >= F:
        return values[np.arange(size) * F // size]
    return np.add.reduceat(values, np.arange(size) * F // size) / np.diff(np.append(np.arange(size) * F // size, F))
