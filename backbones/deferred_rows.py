"""A lazy selection of rows of an array that is too large to copy."""

from typing import Any

import numpy as np

COPIED = 1 << 30
"""Bytes up to which rows are copied into memory at once."""


class RowView:
    """Rows `[N]` of an array `[M, …]`, such as a mapped file, in any order, which read like an array `[N, …]`."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array, self.rows = array, rows
        self.shape: tuple[int, ...] = (len(rows), *array.shape[1:])
        self.dtype = array.dtype
        self.ndim = array.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """`[…]` of one row, or `[R, …]` of several: a copy."""
        return np.asarray(self.array[self.rows[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it, in memory."""
        return np.asarray(self[:], dtype)

    def take(self, rows: Any, axis: int = 0) -> np.ndarray:
        """`array.take` along the first axis."""
        assert axis == 0
        return self[rows]


def rows_of(array: np.ndarray, rows: np.ndarray) -> np.ndarray | RowView:
    """`[N, …]` those rows: in memory, or (a mapped file of more than a gigabyte) as a view of it."""
    size = len(rows) * (array.nbytes // max(1, len(array)))
    if isinstance(array, np.memmap) and size > COPIED:
        return RowView(array, rows)
    return np.asarray(array[rows])
