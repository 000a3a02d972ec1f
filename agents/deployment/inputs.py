"""Images to classify from arrays, samples, files, folders, generators or loaders, read ahead by a thread.

    for item in read_items(["photos/"], input_shape=(3, 32, 32)):
        item.name, item.image             # or item.problem, of an unreadable file

Letters: N images, B of a batch, C channels, H × W pixels.
"""

import itertools
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones import InputError, Samples
from backbones.contract import channels_advice, check_images, make_keys
from backbones.data import IMAGE_ERRORS, images_below, read_pixels
from backbones.errors import kind_of


@dataclass(frozen=True)
class Item:
    """One image, or the reason for which it is unusable."""

    name: str
    """The file, or the place in the stream."""
    key: int
    """Key of random encodings: made of the index in the dataset, or else of the place."""
    image: np.ndarray | None
    """`[C, H, W]` uint8 or floats in [0, 1]."""
    problem: str | None = None


def read_items(
    inputs: Any, input_shape: Sequence[int], *, resize: bool = False, encoding: Any = None
) -> Iterator[Item]:
    """Items in the order of the inputs, read lazily.

    Args:
        inputs: `Samples`; an array or tensor `[N, C, H, W]`; a path or several (files, or folders of images in
            the order of their names); or any iterable, such as a generator or a `DataLoader`, of images
            `[C, H, W]` or batches `[B, C, H, W]`, alone or as the first of a tuple.
        input_shape: of one image, as the backbone takes it.
        resize: resize files of another size: the shorter side to the shape, then a crop of the middle.
        encoding: the backbone's, where it is known, to check images against.

    Raises:
        InputError: for other inputs, or a path that does not exist.
    """
    shape = tuple(input_shape)
    if isinstance(inputs, Samples):
        keys = make_keys(inputs.index).tolist()
        return (
            _checked(str(index), key, inputs.images[row], shape, encoding)
            for row, (index, key) in enumerate(zip(inputs.index.tolist(), keys, strict=True))
        )
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(entry, str | Path) for entry in inputs):
        files = [file for entry in inputs for file in _files(Path(entry))]
        return (_read(file, place, shape, resize) for place, file in enumerate(files))
    if not isinstance(inputs, Iterable) or getattr(inputs, "ndim", 1) == 0:
        raise InputError(
            "Expected images to classify (an array, Samples, paths, or an iterable of images), "
            f"got {type(inputs).__name__}."
        )
    images = itertools.chain.from_iterable(_images(entry, len(shape)) for entry in inputs)
    return (_checked(str(place), place << 16, image, shape, encoding) for place, image in enumerate(images))


class ReadAhead:
    """Read-ahead by a thread of at most `capacity` items that are not yet taken."""

    def __init__(self, items: Iterator[Item], capacity: int) -> None:
        self._queue: queue.Queue[Item | BaseException | None] = queue.Queue(capacity)
        self._stopped = threading.Event()
        self._end: BaseException | None = None
        self._ended = False
        threading.Thread(target=self._read, args=(items,), name="read images", daemon=True).start()

    def take(self, count: int) -> list[Item]:
        """At most `count` items, after a wait for the first; none at the end, or the exception of the reader."""
        taken: list[Item] = []
        while not self._ended and len(taken) < count and not (taken and self._queue.empty()):
            entry = self._queue.get()
            if isinstance(entry, Item):
                taken.append(entry)
            else:
                self._ended, self._end = True, entry
        if not taken and self._end is not None:
            raise self._end
        return taken

    def close(self) -> None:
        """Stop the reader."""
        self._stopped.set()

    def _read(self, items: Iterator[Item]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:  # `take` raises it
            self._put(error)
        else:
            self._put(None)

    def _put(self, entry: Item | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def _files(path: Path) -> list[Path]:
    if os.path.isdir(path):
        files = images_below(path)
        if not files:
            raise InputError(f"Expected images in {path}, found none.")
        return files
    if not os.path.exists(path):
        raise InputError(f"Expected an image or a folder of images, found none at {path}.")
    return [path]


def _read(file: Path, place: int, shape: tuple[int, ...], resize: bool) -> Item:
    try:
        name = os.fsencode(file).decode()
    except UnicodeDecodeError:
        name = os.fsencode(file).decode(errors="backslashreplace")
        return Item(name, place << 16, None, "has a name that is not UTF-8: rename it")
    if file.exists() and not file.is_file():  # a pipe would never end
        return Item(name, place << 16, None, "is no regular file")
    try:
        image = read_pixels(file, shape[1:3] if resize else None, grey=shape[0] == 1)  # type: ignore[arg-type]
    except IMAGE_ERRORS as error:
        return Item(name, place << 16, None, f"cannot be read: {error}")
    return _checked(name, place << 16, image, shape)


def _images(entry: Any, ndim: int) -> Iterator[Any]:
    """The images of one entry of an iterable: itself, a batch's, or those of a (images, labels) tuple."""
    if isinstance(entry, list | tuple) and len(entry):
        entry = entry[0]
    if isinstance(entry, np.ndarray | torch.Tensor) and entry.ndim == ndim + 1:
        return iter(entry)
    return iter([entry])


def _checked(name: str, key: int, image: Any, shape: tuple[int, ...], encoding: Any = None) -> Item:
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        return Item(name, key, None, f"is no image but {kind_of(image)}")
    if image.shape != shape:
        advice = channels_advice(image.shape, shape).removesuffix(".")
        problem = f"has shape {list(image.shape)}, not the {list(shape)} that the backbone takes{advice}"
        return Item(name, key, None, problem)
    try:
        check_images(image[None], encoding)
    except InputError as error:
        return Item(name, key, None, f"cannot be used: {error}")
    return Item(name, key, image if image.dtype == np.uint8 else image.astype(np.float32, copy=False))
