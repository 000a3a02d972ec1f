"""Recognition of tensors and arrays without importing PyTorch: a tensor's maker has imported it."""

import sys
from typing import Any

import numpy as np

from backbones.errors import InputError, first_line


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
