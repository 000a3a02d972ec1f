"""Class-per-folder trees of images, decoded once into a memory-mapped cache.

    root/train/CLASS/*.jpg and root/test/CLASS/*.jpg      the test images are given
    root/CLASS/*.jpg                                      they are split off

Letters: N images, C channels (3), H × W pixels.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from backbones.errors import InputError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
CACHE_NAME = ".seenn-cache"


def class_folders(root: Path) -> list[Path]:
    """The folders of the classes, sorted by name.

    Raises:
        InputError: for a folder that is missing or has no class folders.
    """
    if not root.is_dir():
        raise InputError(f"Expected a folder of images, found none at {root}.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:
        raise InputError(f"Expected a folder for each class (two at least) in {root}, got {len(folders)}.")
    return folders


def list_images(root: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """The images of a tree: files sorted by class and name, labels `[N]`, class names.

    Raises:
        InputError: for a wrong folder or a class without images.
    """
    files: list[Path] = []
    labels: list[int] = []
    folders = class_folders(root)
    for label, folder in enumerate(folders):
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"Expected images of class {folder.name!r}, found none in {folder}.")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int64), tuple(folder.name for folder in folders)


def decoded(files: list[Path], root: Path, cache_dir: Path, size: int | None = None) -> np.ndarray:
    """`[N, 3, H, W]` uint8, memory-mapped; decoded the first time, or when a file has changed.

    Args:
        files: the images.
        root: folder that their names are relative to.
        cache_dir: folder for the cache.
        size: resize to size × size (shorter side first, then the middle); None takes images as they are.

    Raises:
        InputError: for an image that cannot be read or has another shape, or a cache that cannot be written.
    """
    about = [[str(f.relative_to(root)), (info := f.stat()).st_size, info.st_mtime_ns] for f in files]
    digest = hashlib.sha256(json.dumps([about, size]).encode()).hexdigest()[:16]
    cache = cache_dir / f"images-{digest}.npy"
    if not cache.exists():
        first = _read(files[0], size)
        temporary = cache.with_name(f"{cache.name}.{os.getpid()}.tmp")
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(files), *first.shape))
        except OSError as error:
            raise InputError(f"Expected to write a cache to {cache_dir}, got: {error}. Set cache_dir.") from error
        try:
            for row, file in enumerate(tqdm(files, desc="decode", unit="image", disable=None)):
                image = _read(file, size)
                if image.shape != first.shape:
                    raise InputError(
                        f"Expected images of {_pixels(first)} as in {files[0]}, got {_pixels(image)} in {file}: "
                        "set image_size."
                    )
                images[row] = image
            images.flush()
            temporary.replace(cache)
        finally:
            temporary.unlink(missing_ok=True)
    mapped: np.ndarray = np.load(cache, mmap_mode="r")
    return mapped


def _read(file: Path, size: int | None) -> np.ndarray:
    """`[3, H, W]` uint8."""
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"Expected an image, but {file} cannot be read: {error}.") from error
    if size is not None and image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image).transpose(2, 0, 1)


def _pixels(image: np.ndarray) -> str:
    return f"{image.shape[2]} × {image.shape[1]} pixels"
