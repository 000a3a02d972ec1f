"""Image files, decoded once into a memory-mapped cache.

Letters: N images, C channels (3, or 1 where all images are grey), H × W pixels.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.argument_checks import check_kinds
from backbones.data.cache import cache_file, cached_rows
from backbones.errors import InputError

GREY = ("1", "F", "I", "I;16", "I;16B", "I;16L", "I;16N", "L", "LA")
"""Pillow's modes of grey images."""
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""By content, whatever a file's name says: of other formats, Pillow hands EPS to Ghostscript, which runs it."""
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""Exceptions of reading a file as an image."""
# Images of 89 to 178 megapixels, of which Pillow warns, are read; larger ones are refused. The filter is the process's,
# since `warnings.catch_warnings` in a thread that reads ahead would undo filters of other threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_MOST_PIXELS = 1 << 26
"""Of an image that is resized, before its middle is cut out."""


def decoded(files: list[Path], root: Path, cache_dir: Path, size: int | None = None) -> np.ndarray:
    """`[N, C, H, W]` uint8, memory-mapped; decoded the first time, or when a file (named from `root`) has changed.

    `size` resizes to size × size (shorter side first, then the middle). An `InputError` for an unreadable image or one
    of another shape, or a cache that cannot be written.
    """
    try:
        cache = cache_file(cache_dir, "images", files, root, size)
    except OSError as error:  # of a link to nothing
        raise InputError(
            f"Expected an image, but {error.filename} cannot be read ({error.strerror}): repair or remove it."
        ) from error
    return cached_rows(cache, _pixels(files, size), len(files), "decode")


def _pixels(files: list[Path], size: int | None) -> Iterator[np.ndarray]:
    """`[C, H, W]` of each file, all of one shape."""
    grey = all(_mode(file) in GREY for file in files)  # ends at the first that has colours
    shape: tuple[int, ...] | None = None
    for file in files:
        with _refusing(file):
            image = read_pixels(file, None if size is None else (size, size), grey=grey)
        shape = shape or image.shape
        if image.shape != shape:
            raise InputError(
                f"Expected images of {_sides(shape)} as in {files[0]}, got {_sides(image.shape)} in {file}: "
                "set image_size."
            )
        yield image


def _mode(file: Path) -> str:
    """Pillow's mode, from the file's head."""
    with _refusing(file), _opened(file) as opened:
        return str(opened.mode)


def _opened(file: Path) -> Image.Image:
    """The image of a regular file; the reader of a pipe would wait."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no file")
    return Image.open(file, formats=_FORMATS)


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    try:
        yield
    except IMAGE_ERRORS as error:
        raise InputError(f"Expected an image, but {file} cannot be read ({error}): repair or remove it.") from error


@check_kinds
def read_pixels(file: Path, size: tuple[int, int] | None, *, grey: bool) -> np.ndarray:
    """`[C, H, W]` uint8 of an image file; of 16 bits a pixel the upper 8.

    Args:
        file: the image.
        size: (height, width) to resize to: the shorter side first, then the middle; None keeps the size.
        grey: one channel, not three.

    Raises:
        IMAGE_ERRORS: for an unreadable file, or pixels of other than 8 or 16 bits.
    """
    with _opened(file) as opened:
        if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PNG"):
            # Pillow's own conversion drops the upper 8 bits.
            image = Image.fromarray((np.asarray(opened).clip(0, 65535) >> 8).astype(np.uint8))
            image = image if grey else image.convert("RGB")
        elif opened.mode in ("I", "F"):
            kind = "floats" if opened.mode == "F" else "32-bit integers"
            raise ValueError(f"its pixels are {kind}, whose black and white are not known: save it with 8 or 16 bits")
        else:
            image = opened.convert("L" if grey else "RGB")
    if size is not None and image.size != size[::-1]:
        height, width = size
        scale = max(width / image.width, height / image.height)
        whole = max(width, round(scale * image.width)), max(height, round(scale * image.height))
        if whole[0] * whole[1] > _MOST_PIXELS:
            raise ValueError(f"its {image.width} × {image.height} pixels are too narrow to be resized: crop it")
        left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
        image = image.resize(whole, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} × {shape[1]} pixels"
