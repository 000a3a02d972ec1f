"""Neighbouring rows that are alike, as stretches: one operation on each instead of one on every row."""

import itertools

from torch import Tensor


def stretches_of(values: Tensor) -> tuple[list[int], list[int]]:
    """How long each stretch of `[rows]` bool or int64, on the CPU, is, and the value that its rows have."""
    lengths, found = [], []
    for value, group in itertools.groupby(values.tolist()):
        lengths.append(len(list(group)))
        found.append(int(value))
    return lengths, found
