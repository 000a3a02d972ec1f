"""Cache files of arrays that are computed once, row by row, and then memory-mapped."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from backbones.array_files import Rows, map_arrays, write_arrays
from backbones.errors import InputError, counted
from backbones.hashing import hash_json

FORMAT = "seenn_env.cache/1"
CACHE_NAME = ".seenn-cache"


def cache_file(folder: Path, kind: str, files: list[Path], root: Path, *settings: Any) -> Path:
    """The path of a cache, by names (below `root`), sizes and times of its source files, and settings."""
    about = [[str(f.relative_to(root)), (info := f.stat()).st_size, info.st_mtime_ns] for f in files]
    return folder / f"{kind}-{hash_json([about, *settings])[:16]}.safetensors"


def cached_rows(cache: Path, rows: Iterator[np.ndarray], count: int, description: str) -> np.ndarray:
    """`[count, …]` uint8, memory-mapped from the file `cache`; where it is missing, it is written from `rows`.

    An `InputError` where it cannot be written; the description is the progress bar's.
    """
    if not cache.is_file():
        first = next(rows)
        bar = tqdm(chain([first], rows), desc=description, total=count, unit="image", disable=None)
        stream = (np.ascontiguousarray(row.reshape(first.shape), np.uint8) for row in bar)
        try:
            write_arrays(cache, {"rows": Rows((count, *first.shape), np.dtype(np.uint8), stream)}, {"format": FORMAT})
        except OSError as error:
            raise InputError(f"Expected to write a cache to {cache.parent}, got: {error}. Set cache_dir.") from error
    arrays, metadata, seal = map_arrays(cache, kind="a cache")
    cached = arrays.get("rows", np.empty(0))
    known = metadata.get("format") == FORMAT and seal is not None and len(cached) == count
    if not known or cached.dtype != np.uint8 or 0 in cached.shape:
        raise InputError(
            f"Expected a cache of {counted(count, 'row')} ({FORMAT}) in {cache}, got another file: delete it."
        )
    return cached
