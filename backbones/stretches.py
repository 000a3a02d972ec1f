"""Neighbouring rows that are alike, as stretches: one operation on each instead of one on every row."""

from functools import lru_cache

import numpy as np
from torch import Tensor

Stretch = tuple[int, int]
"""Rows from the first up to, and without, the second."""


def stretches_of(mask: Tensor) -> tuple[Stretch, ...]:
    """Of the rows at which `[rows]` bool, on the CPU, is True."""
    return _stretches_of(mask.numpy().tobytes())


@lru_cache(maxsize=16)  # every layer of a timestep asks for the same
def _stretches_of(mask: bytes) -> tuple[Stretch, ...]:
    edges = np.flatnonzero(np.diff(np.frombuffer(mask, np.int8), prepend=0, append=0)).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))
