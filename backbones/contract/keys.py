"""Names of rows, from which random encodings and policies draw."""

from collections.abc import Sequence

import numpy as np

from backbones.errors import InputError, shown
from backbones.tensors import as_array

REPEAT_BITS = 16


def make_keys(index: np.ndarray, repeat: np.ndarray | int = 0) -> np.ndarray:
    """`[N]` int64 row names of whole numbers: dataset indices and repeats (below 2¹⁶); else an `InputError`."""
    for name, values in (("index", index), ("repeat", repeat)):
        kind = as_array(values, name).dtype.kind if isinstance(values, np.ndarray | int | Sequence) else ""
        if kind not in ("i", "u") and np.size(values):
            raise InputError(f"Expected {name} of whole numbers, got {shown(values)}.")
    if np.ndim(repeat) and np.shape(repeat) != np.shape(index):
        raise InputError(f"Expected a repeat for each index, got {np.shape(repeat)} and {np.shape(index)}.")
    return (np.asarray(index, np.int64) << REPEAT_BITS) | np.asarray(repeat, np.int64)
