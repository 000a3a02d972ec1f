"""Cache files of arrays that are computed once, row by row, and then memory-mapped."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from backbones.atomic import open_atomic
from backbones.errors import InputError
from backbones.hashing import hash_json

CACHE_NAME = ".seenn-cache"


def cache_file(folder: Path, kind: str, files: list[Path], root: Path, *settings: Any) -> Path:
    """The path of a cache, by names (below `root`), sizes and times of its source files, and settings."""
    about = [[str(f.relative_to(root)), (info := f.stat()).st_size, info.st_mtime_ns] for f in files]
    return folder / f"{kind}-{hash_json([about, *settings])[:16]}.npy"


def cached_rows(cache: Path, rows: Iterator[np.ndarray], count: int, description: str) -> np.ndarray:
    """`[count, …]` uint8, memory-mapped from the file `cache`; where it is missing, it is written from `rows`.

    An `InputError` where it cannot be written; the description is the progress bar's.
    """
    if not cache.exists():
        first = next(rows)
        with ExitStack() as stack:
            try:
                file = stack.enter_context(open_atomic(cache))
            except OSError as error:
                raise InputError(
                    f"Expected to write a cache to {cache.parent}, got: {error}. Set cache_dir."
                ) from error
            about = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.shape)}
            np.lib.format.write_array_header_1_0(file, about)
            for row in tqdm(chain([first], rows), desc=description, total=count, unit="image", disable=None):
                file.write(np.ascontiguousarray(row.reshape(first.shape), np.uint8))
    mapped: np.ndarray = np.load(cache, mmap_mode="r")
    return mapped
