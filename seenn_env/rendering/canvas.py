"""A canvas of pixels: boxes, text and heat maps.

canvas = Canvas(320, 64)
canvas.text(16, 40, "timestep 3", size=20, bold=True)
canvas.pixels                                                 # [H, W, 3] uint8
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (28, 33, 43)
GREY: Color = (122, 130, 143)
FAINT: Color = (205, 210, 218)
TRACK: Color = (239, 241, 245)
BLUE: Color = (45, 104, 196)
OTHER: Color = (166, 181, 205)
RIGHT: Color = (0, 142, 104)
WRONG: Color = (208, 80, 18)
"""The colours of correct and wrong are distinct to colour-blind eyes (after Okabe and Ito)."""


class Canvas:
    """Pixels to draw on, with clipping at the edges.

    Args:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def pixels(self) -> np.ndarray:
        """`[H, W, 3]` uint8, a copy."""
        return np.array(self._image)

    def box(self, x: int, y: int, width: int, height: int, color: Color) -> None:
        """A filled rectangle."""
        if width > 0 and height > 0:
            self._draw.rectangle((x, y, x + width - 1, y + height - 1), color)

    def frame(self, x: int, y: int, width: int, height: int, color: Color) -> None:
        """The edge of a rectangle."""
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), outline=color, width=2)

    def pill(self, x: int, y: int, width: int, height: int, color: Color) -> None:
        """A filled rectangle with round corners."""
        self._draw.rounded_rectangle((x, y, x + width - 1, y + height - 1), 8, color)

    def hatch(self, x: int, y: int, width: int, height: int, color: Color) -> None:
        """Diagonal lines on paper."""
        down, across = np.mgrid[:height, :width]
        self.paste(x, y, np.where(((down + across) % 12 < 3)[..., None], color, PAPER).astype(np.uint8))

    def paste(self, x: int, y: int, pixels: np.ndarray) -> None:
        """Pixels `[h, w, 3]`."""
        self._image.paste(Image.fromarray(pixels), (x, y))

    def text(
        self,
        x: int,
        y: int,
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
        self._draw.text((x, y), text, color, _font(size, bold), anchor=f"{align[0]}s")


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
    means: np.ndarray = np.add.reduceat(values, at) / np.diff(np.append(at, len(values)))
    return means


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
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
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
