"""Arrays that are made once, row by row, and mapped from a file ever after."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from backbones.errors import InputError

CACHE_NAME = ".seenn-cache"


def cache_file(folder: Path, kind: str, files: list[Path], root: Path, *settings: Any) -> Path:
    """The cache of what is made of those files with those settings: a changed file has another.

    Args:
        folder: for caches.
        kind: how the file's name begins.
        files: what it is made of, in order.
        root: folder that their names are relative to.
        settings: JSON-able.
    """
    about = [[str(f.relative_to(root)), (info := f.stat()).st_size, info.st_mtime_ns] for f in files]
    digest = hashlib.sha256(json.dumps([about, *settings]).encode()).hexdigest()[:16]
    return folder / f"{kind}-{digest}.npy"


def cached_rows(cache: Path, rows: Iterator[np.ndarray], count: int, description: str) -> np.ndarray:
    """`[count, …]` uint8, memory-mapped; `rows` are drawn only where the file is not there.

    Args:
        cache: the file; it appears when it is whole.
        rows: `count` arrays of one shape.
        count: N.
        description: for the progress bar.

    Raises:
        InputError: where the file cannot be written.
    """
    if not cache.exists():
        first = next(rows)
        temporary = cache.with_name(f"{cache.name}.{os.getpid()}.tmp")
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            made = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, *first.shape))
        except OSError as error:
            raise InputError(f"Expected to write a cache to {cache.parent}, got: {error}. Set cache_dir.") from error
        try:
            made[0] = first
            bar = tqdm(rows, desc=description, total=count, initial=1, unit="image", disable=None)
            for number, row in enumerate(bar, 1):
                made[number] = row
            made.flush()
            temporary.replace(cache)
        finally:
            temporary.unlink(missing_ok=True)
    mapped: np.ndarray = np.load(cache, mmap_mode="r")
    return mapped
