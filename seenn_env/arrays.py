"""Arrays larger than memory: read-only views, chunks of rows, temporary files.

Letters: N rows.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from backbones.atomic import reserve

CHUNK_BYTES = 1 << 24
LARGE_BYTES = 1 << 30
"""Larger arrays are made in a temporary file, and larger files are verified on first access."""


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def large_array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array: in memory, or beyond `LARGE_BYTES` bytes in a temporary file deleted with it."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= LARGE_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        reserve(file, math.prod(shape) * np.dtype(dtype).itemsize)
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of the rows of `array` `[N, …]`, of about `CHUNK_BYTES` each."""
    N, step = len(array), max(1, CHUNK_BYTES * len(array) // max(1, array.nbytes))
    for begin in range(0, N, step):
        yield slice(begin, min(begin + step, N))


def take_rows(array: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Those rows of `array` `[N, …]`: a view for a slice of step 1, else a `large_array`."""
    if isinstance(rows, slice):
        if rows.step in (None, 1):
            return array[rows]
        rows = np.arange(len(array))[rows]
    if rows.dtype == np.bool_:
        rows = np.flatnonzero(rows)
    taken = large_array((len(rows), *array.shape[1:]), array.dtype)
    for part in row_chunks(taken):
        taken[part] = array[rows[part]]
    return taken


def join_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """`[N₁ + N₂ + …, …]` all rows of arrays of one dtype, as a `large_array`."""
    joined = large_array((sum(len(part) for part in parts), *parts[0].shape[1:]), np.result_type(*parts))
    return np.concatenate(parts, out=joined)
