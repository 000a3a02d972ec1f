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


def whole_column(column: np.ndarray, count: int, name: str, dtype: type = np.int64) -> np.ndarray:
    """`[count]` whole numbers of an array of any numbers, in a dtype; an `InputError` for others."""
    whole = column.dtype.kind in "iu" or (column.dtype.kind == "f" and (column == np.rint(column)).all())
    if column.shape != (count,) or not whole:
        raise InputError(f"Expected {name} [{count}] of whole numbers, got {list(column.shape)} of {column.dtype}.")
    limits = np.iinfo(dtype)
    if count and not limits.min <= column.min() <= column.max() < limits.max:
        raise InputError(
            f"Expected {name} that {np.dtype(dtype)} holds, got numbers from {column.min()} to {column.max()}."
        )
    return column.astype(dtype, copy=False)


def row_places(rows: Any, count: int) -> np.ndarray:
    """`[R]` places in 0…count-1 or a mask `[count]`, of an array or a list; an `InputError` for other rows."""
    places = as_array(rows, "rows")
    places = places.astype(np.int64) if places.size == 0 else places
    numbers = places.ndim == 1 and places.dtype.kind in "biu"
    if not numbers or not (len(places) == count if places.dtype == bool else (np.abs(places + 0.5) <= count).all()):
        raise InputError(f"Expected rows [R] in 0…{count - 1}, a mask [{count}] or a slice, got {shown(rows)}.")
    return places


def as_array(values: Any, name: str) -> np.ndarray:
    """An array of an array, a tensor, a number or lists; an `InputError` for lists of different lengths."""
    try:
        return np.asarray(values.detach().cpu() if is_tensor(values) else values)
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
