"""Recognition of tensors and arrays without importing PyTorch: a tensor's maker has imported it."""

import sys
from typing import Any

import numpy as np

from backbones.errors import InputError, first_line, shown


def tensor_types() -> tuple[Any, ...]:
    """`(torch.Tensor,)`, or nothing as long as PyTorch is not imported."""
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.Tensor,)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor."""
    return isinstance(value, tensor_types())


def as_array(values: Any, name: str) -> np.ndarray:
    """An array of an array, a number or lists; an `InputError` for lists of different lengths."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(f"Expected {name} as an array, or lists of one length, but: {first_line(error)}.") from error


def numbers(values: Any, name: str, axes: str, **sizes: int) -> np.ndarray:
    """An array of numbers with one axis for each letter, of at least one row; `sizes` are those that are known.

    Raises:
        InputError: for another shape or dtype.
    """
    array = as_array(values, name)
    fits = array.ndim == len(axes) and len(array) > 0 and array.dtype.kind in "fiub"
    if not fits or any(array.shape[axes.index(axis)] != size for axis, size in sizes.items()):
        known = "".join(f", {axis} = {size}" for axis, size in sizes.items())
        raise InputError(f"Expected {name} [{', '.join(axes)}] of numbers{known}, got {shown(values)}.")
    return array


def returned_floats(values: Any) -> np.ndarray:
    """The float32 array of numbers that a user's own function returned; a `TypeError` for text and the like."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"it returned {shown(values)}")
    return array.astype(np.float32, copy=False)
