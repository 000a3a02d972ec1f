"""A canvas of pixels: boxes, text and heat maps.

canvas = Canvas(320, 64, scale=2)
canvas.text(16, 40, "timestep 3", size=20, bold=True)
canvas.pixels                                                 # [128, 640, 3] uint8
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (28, 33, 43)
GREY: Color = (111, 118, 130)
FAINT: Color = (205, 210, 218)
TRACK: Color = (239, 241, 245)
BLUE: Color = (45, 104, 196)
OTHER: Color = (166, 181, 205)
RIGHT: Color = (0, 134, 98)
WRONG: Color = (202, 76, 16)
"""Correct and wrong are distinct to colour-blind eyes (after Okabe and Ito); their text, and grey text, has a contrast
of 4.5 on white and on black."""


class Canvas:
    """Pixels to draw on, with clipping at the edges; lengths are in units of `scale` pixels.

    Sides are rounded up to a multiple of 16 pixels, as video codecs require.
    """

    def __init__(self, width: float, height: float, scale: float = 1.0) -> None:
        self._scale = scale
        across, down = (16 * math.ceil(side * scale / 16) for side in (width, height))
        self._image = Image.new("RGB", (across, down), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def pixels(self) -> np.ndarray:
        """`[H, W, 3]` uint8, a copy."""
        return np.array(self._image)

    def box(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """A filled rectangle."""
        left, top, right, bottom = self._edges(x, y, width, height)
        if right >= left and bottom >= top:
            self._draw.rectangle((left, top, right, bottom), color)

    def frame(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """The edge of a rectangle."""
        self._draw.rectangle(self._edges(x, y, width, height), outline=color, width=max(1, round(2 * self._scale)))

    def pill(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """A filled rectangle with round corners."""
        self._draw.rounded_rectangle(self._edges(x, y, width, height), 8 * self._scale, color)

    def hatch(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """Diagonal lines on paper."""
        left, top, right, bottom = self._edges(x, y, width, height)
        down, across = np.ogrid[: bottom - top + 1, : right - left + 1]
        lines = (down + across) % round(12 * self._scale) < round(3 * self._scale)
        self._image.paste(color, (left, top), Image.fromarray(lines))

    def image(self, x: float, y: float, size: float, image: np.ndarray) -> None:
        """An image `[C, H, W]` in the middle of a square, as by `enlarge`."""
        left, top, right, _ = self._edges(x, y, size, size)
        pixels = enlarge(image, right - left + 1)
        height, width = pixels.shape[:2]
        corner = left + (right - left + 1 - width) // 2, top + (right - left + 1 - height) // 2
        self._image.paste(Image.fromarray(pixels), corner)

    def lines(self, x: float, y: float, width: float, height: float, colors: np.ndarray) -> None:
        """Horizontal lines of colours `[n, 3]`, which fill a rectangle."""
        left, top, right, bottom = self._edges(x, y, width, height)
        size = right - left + 1, bottom - top + 1
        self._image.paste(Image.fromarray(colors[:, None]).resize(size, Image.Resampling.NEAREST), (left, top))

    def _edges(self, x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels, inclusive."""
        left, top, right, bottom = (round(edge * self._scale) for edge in (x, y, x + width, y + height))
        return left, top, right - 1, bottom - 1

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 13,
        color: Color = INK,
        bold: bool = False,
        align: Literal["left", "middle", "right"] = "left",
        width: int | None = None,
    ) -> None:
        """A line of text on the baseline y, cut to `width` with an ellipsis."""
        if width is not None:
            text = _cut(text, size, bold, width)
        at = round(x * self._scale), round(y * self._scale)
        self._draw.text(at, text, color, _font(size * self._scale, bold), anchor=f"{align[0]}s")


@lru_cache(maxsize=4096)
def text_width(text: str, size: int, bold: bool = False) -> int:
    """The width of a line of text in pixels."""
    return round(_font(size, bold).getlength(text))


def fitting_size(text: str, width: int, sizes: tuple[int, ...], bold: bool = False) -> int:
    """The first of these sizes at which the text fits into `width`, or the last."""
    return next((size for size in sizes if text_width(text, size, bold) <= width), sizes[-1])


def heat(values: np.ndarray, kind: str) -> np.ndarray:
    """`[…, 3]` uint8 colours of spikes (0…1, white to navy) or of potentials (below 0 blue, above orange).

    The scale is the same in every frame: √ spikes, and v / (1 + |v|).
    """
    if kind == "spikes":
        return _SPIKES[(np.sqrt(np.clip(values, 0, 1)) * 255).astype(np.uint8)]
    return _MEMBRANE[(127.5 * (1 + values / (1 + np.abs(values)))).astype(np.uint8)]


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """`[h, w, 3]` uint8: an image `[C, H, W]` of any channels, scaled to `size` × `size` at the most.

    One channel is grey, three are RGB, two (off and on events) are blue and orange, others their mean.
    """
    colored = to_rgb(image)
    H, W = colored.shape[:2]
    factor = size / max(H, W)
    height, width = max(1, round(H * factor)), max(1, round(W * factor))
    if factor < 1:
        return np.asarray(Image.fromarray(colored).resize((width, height), Image.Resampling.BOX))
    rows, columns = np.arange(height) * H // height, np.arange(width) * W // width
    return colored.take(rows, 0).take(columns, 1)


def pooled(values: np.ndarray, size: int) -> np.ndarray:
    """`[size]` neurons repeated, or neighbouring ones averaged."""
    at = np.arange(size) * len(values) // size
    if size >= len(values):
        return values[at]
    return np.add.reduceat(values, at) / np.diff(np.append(at, len(values)))


def to_rgb(image: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` uint8 of an image `[C, H, W]` (see `enlarge`)."""
    C = len(image)
    if C == 3:
        return np.ascontiguousarray(image.transpose(1, 2, 0))
    if C == 2:
        off, on = image.astype(np.float32) / 255
        mixed = on[..., None] * np.array(WRONG, np.float32) + off[..., None] * np.array(BLUE, np.float32)
        return mixed.clip(0, 255).astype(np.uint8)
    grey = image[0] if C == 1 else image.mean(0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _ramp(*stops: Color) -> np.ndarray:
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, np.arange(len(stops)), [stop[channel] for stop in stops]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


_SPIKES = _ramp((246, 248, 251), (150, 190, 232), (45, 104, 196), (16, 32, 84))
_MEMBRANE = _ramp((22, 62, 140), (104, 158, 220), (246, 248, 251), (240, 164, 100), (160, 62, 10))


@lru_cache(maxsize=64)
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib  # for its font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


@lru_cache(maxsize=4096)
def _cut(text: str, size: int, bold: bool, width: int) -> str:
    text = " ".join(text.split())
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"
